// What a run of `send` has measured: latency by phase, errors by code, and the same over time in a
// bounded number of bins. Memory does not grow with the run. One thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "relaybench/histogram.h"

namespace relaybench {

// Microseconds of a clock that never goes back.
std::uint64_t now_us();

enum class Phase : std::uint8_t {
  kConnect,   // TCP
  kGreeting,  // from there to the 220
  kTls,       // the handshake, STARTTLS with its command
  kAuth,      // AUTH to 235
  kEnvelope,  // MAIL to the last reply before content may go: RCPT, or DATA's 354
  kData,      // content to the 250
  kMessage,   // both
};
inline constexpr std::size_t kPhases = 7;
inline constexpr std::array<std::string_view, kPhases> kPhaseNames = {
    "connect", "greeting", "tls", "auth", "envelope", "data", "message"};

// Latency of whole messages over the time of the run. Bins are widened when there are too many.
class Timeline {
 public:
  struct Bin {
    Histogram latency{4};
    std::uint64_t failed = 0;
  };
  void record(std::uint64_t at_us, std::uint64_t took_us);
  void record_failure(std::uint64_t at_us);
  [[nodiscard]] const std::vector<Bin>& bins() const { return bins_; }
  [[nodiscard]] std::uint64_t width_us() const { return width_us_; }

 private:
  Bin& bin(std::uint64_t at_us);
  std::vector<Bin> bins_;
  std::uint64_t width_us_ = 100'000;
};

struct ErrorCount {
  int code = 0;  // of the reply; 0 where there was none
  std::uint64_t count = 0;
  std::string example;  // the first one, in words
};

class Tally {
 public:
  void begin(std::uint64_t us) { started_us = us; }
  void phase(Phase which, std::uint64_t from_us, std::uint64_t to_us) {
    phases[static_cast<std::size_t>(which)].record(to_us - from_us);
  }
  void message_accepted(std::uint64_t from_us, std::uint64_t to_us, std::uint64_t octets_sent);
  void message_failed(std::string_view what, int code, std::string_view example);
  void connection_failed(std::string_view what, int code, std::string_view example);

  std::uint64_t started_us = 0;
  std::uint64_t ended_us = 0;
  std::uint64_t accepted = 0, failed = 0, octets = 0;
  std::uint64_t connections = 0, connections_failed = 0;
  bool chunking_missing = false;  // --bdat was asked for, the server offers none
  std::array<Histogram, kPhases> phases;
  Histogram second{4};  // messages of the second in hand, for the progress line
  Timeline timeline;
  std::map<std::string, ErrorCount> errors;  // by what and code; bounded

 private:
  void error(std::string_view what, int code, std::string_view example);
};

}  // namespace relaybench
