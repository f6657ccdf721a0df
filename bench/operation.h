// What is measured: named operations, each defined once. bench_relayd times them, bench_costs
// counts their instructions, and both their allocations.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

namespace bench {

using Run = std::function<void()>;

struct Operation {
  std::string name;           // "room/what/which": "smtp/server/data/64KiB"
  std::function<Run()> make;  // prepares, uncounted; what it gives is run again and again
  std::int64_t octets = 0;    // that a run reads or writes, where a rate of them says something
  std::int64_t items = 1;     // messages or commands of a run, for the rate
  int counted_runs = 50;      // under valgrind, some fifty times slower
};

using Operations = std::vector<Operation>;

// One list a file, in the order of the layers.
Operations smtp_operations();
Operations mail_operations();
Operations spf_operations();
Operations dkim_operations();
Operations arc_operations();
Operations queue_operations();
Operations policy_operations();
Operations dmarc_operations();
Operations ticket_operations();
Operations all_operations();

// A benchmark of something that does not work says nothing.
inline void require(bool works, const char* what) {
  if (works) return;
  std::fprintf(stderr, "bench: this should not happen: %s\n", what);
  std::abort();
}

// `octets` of lines of 64, each with its CRLF; `octets` is a multiple of 64.
std::string lines(std::size_t octets);

}  // namespace bench
