#include "core/base/clock.h"

#include <algorithm>
#include <chrono>

namespace base {

std::int64_t SystemClock::wall_ms() const {
  using namespace std::chrono;
  return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

std::int64_t SystemClock::steady_ms() const {
  using namespace std::chrono;
  return duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count();
}

namespace {

// Less is a clock that is led to the right time (adjtime), or a process that was not run for a
// while between two looks.
constexpr std::int64_t kStepMs = 1000;

}  // namespace

DueClock::DueClock(const Clock& real)
    : real_(real), seen_wall_ms_(real.wall_ms()), seen_steady_ms_(real.steady_ms()) {}

std::int64_t DueClock::wall_ms() const {
  const std::lock_guard lock(mutex_);
  const std::int64_t wall_ms = real_.wall_ms();
  const std::int64_t steady_ms = real_.steady_ms();
  const std::int64_t step_ms = (wall_ms - seen_wall_ms_) - (steady_ms - seen_steady_ms_);
  if (step_ms <= -kStepMs || step_ms >= kStepMs) {
    ahead_ms_ = std::max<std::int64_t>(ahead_ms_ - step_ms, 0);
  }
  seen_wall_ms_ = wall_ms;
  seen_steady_ms_ = steady_ms;
  return wall_ms + ahead_ms_;
}

std::int64_t DueClock::steady_ms() const { return real_.steady_ms(); }

}  // namespace base
