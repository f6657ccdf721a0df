// How much may still be sent to a smarthost: counts over sliding windows, so that the provider,
// however it cuts its minutes and days, never sees more than was agreed. In memory: a restart
// forgets what was sent. Pure.
#pragma once

#include <cstdint>
#include <deque>
#include <string>

#include "policy/accounts.h"

namespace egress {

// Counts of the last window, in sixty slots and the running one.
class SlidingWindow {
 public:
  explicit SlidingWindow(std::int64_t window_ms) : slot_ms_(window_ms / 60) {}

  void add(std::uint64_t count, std::int64_t now_ms);
  // When less than `most` (1 or more) will have been counted; `now_ms` where that is so already.
  std::int64_t free_at_ms(std::uint64_t most, std::int64_t now_ms);

 private:
  struct Slot {
    std::int64_t number;
    std::uint64_t count;
  };
  void forget(std::int64_t now_ms);

  const std::int64_t slot_ms_;
  std::deque<Slot> slots_;
  std::uint64_t total_ = 0;
};

class Rates {
 public:
  struct Wait {
    std::int64_t for_ms = 0;  // 0: may send now
    std::string rate;         // "30 messages a minute"
  };
  // Steady time. What binds longest.
  [[nodiscard]] Wait wait(const policy::Smarthost& smarthost, std::int64_t now_ms);
  // A message begins. One with many recipients may pass the day's number of recipients by as many.
  void message(std::int64_t now_ms);
  void recipients(std::uint64_t count, std::int64_t now_ms) { day_recipients_.add(count, now_ms); }

 private:
  SlidingWindow minute_{60'000}, day_{86'400'000}, day_recipients_{86'400'000};
};

}  // namespace egress
