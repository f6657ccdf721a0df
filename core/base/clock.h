// The clock seam: everything that asks for the time is given a Clock, so that tests can say what
// time it is. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

namespace base {

class Clock {
 public:
  virtual ~Clock() = default;
  // Milliseconds since 1970-01-01T00:00:00Z. May step when an administrator sets the time.
  [[nodiscard]] virtual std::int64_t wall_ms() const = 0;
  // Milliseconds since some fixed moment; never goes back. For durations and deadlines.
  [[nodiscard]] virtual std::int64_t steady_ms() const = 0;
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] std::int64_t wall_ms() const override;
  [[nodiscard]] std::int64_t steady_ms() const override;
};

// A wall clock that is never set back: when somebody sets the real one back by so much, this one
// stays so much ahead of it until it is set forward again, or the process ends. For due times and
// expiry alone: what was to be tried in a minute is tried in a minute, and nothing waits for hours
// that come twice. What others read (dates, signatures) is of the real clock.
class DueClock final : public Clock {
 public:
  explicit DueClock(const Clock& real);  // which outlives it
  [[nodiscard]] std::int64_t wall_ms() const override;
  [[nodiscard]] std::int64_t steady_ms() const override;

 private:
  const Clock& real_;
  mutable std::mutex mutex_;
  mutable std::int64_t seen_wall_ms_, seen_steady_ms_;
  mutable std::int64_t ahead_ms_ = 0;
};

// For tests: stands still until told.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(std::int64_t wall_ms = 1'700'000'000'000) : wall_ms_(wall_ms) {}
  [[nodiscard]] std::int64_t wall_ms() const override { return wall_ms_; }
  [[nodiscard]] std::int64_t steady_ms() const override { return steady_ms_; }
  void advance_ms(std::int64_t ms) {
    wall_ms_ += ms;
    steady_ms_ += ms;
  }
  void set_wall_ms(std::int64_t ms) { wall_ms_ = ms; }

 private:
  std::atomic<std::int64_t> wall_ms_;
  std::atomic<std::int64_t> steady_ms_{0};
};

}  // namespace base
