// bench_costs: runs every operation a fixed number of times for `bench/costs`, which
// starts it under callgrind. Instructions are counted between the two macros only, so neither the
// program's start nor what an operation prepares is in them; each operation's go to a file of their
// own. Allocations are counted here. One JSON object a line.
#include <valgrind/callgrind.h>

#include <cstdio>

#include "allocations.h"
#include "operation.h"

namespace {

constexpr int kFirstRuns = 2;  // what is made once and kept is not what an operation costs

void count(const bench::Operation& operation) {
  const bench::Run run = operation.make();
  for (int i = 0; i < kFirstRuns; ++i) run();
  const std::int64_t before = bench::allocations();
  CALLGRIND_START_INSTRUMENTATION;
  for (int i = 0; i < operation.counted_runs; ++i) run();
  CALLGRIND_STOP_INSTRUMENTATION;
  const std::int64_t allocations = bench::allocations() - before;
  CALLGRIND_DUMP_STATS_AT(operation.name.c_str());
  std::printf("{\"name\": \"%s\", \"runs\": %d, \"allocations\": %lld}\n", operation.name.c_str(),
              operation.counted_runs, static_cast<long long>(allocations));
  std::fflush(stdout);
}

}  // namespace

int main() {
  for (const bench::Operation& operation : bench::all_operations()) count(operation);
}
