// When an account at a smarthost is left alone (product rule O3): after kLoginFailuresMax failed
// logins in a row no attempt for kLockMs after the last failure, then one. Pure, plain data.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <utility>

namespace policy {

// So many: one may be a hiccup of the server's directory, and most servers lock after five or ten.
inline constexpr unsigned kLoginFailuresMax = 3;
inline constexpr std::int64_t kLockMs = 3'600'000;

// Whose login it is. All smarthosts of a tenant with the same host and user name share it; another
// tenant's do not, whose wrong password must not stop this one's mail.
struct SmarthostAccount {
  std::string tenant;
  std::string host;  // the first one, where there are several
  std::string username;
  auto operator<=>(const SmarthostAccount&) const = default;
};

struct SmarthostLock {
  unsigned failures = 0;  // in a row; a login that succeeds ends the record
  std::int64_t last_failure_ms = 0;
  std::int64_t locked_ms = 0;  // since when; 0: not locked yet
  std::string reply;           // what the server said last

  [[nodiscard]] bool locked() const { return locked_ms != 0; }
  [[nodiscard]] std::int64_t next_probe_ms() const { return last_failure_ms + kLockMs; }
  // No attempt may be made now. A wall clock that was set back opens it, rather than closing it for
  // as long as the clock was wrong.
  [[nodiscard]] bool closed(std::int64_t now_ms) const {
    return locked() && last_failure_ms <= now_ms && now_ms < next_probe_ms();
  }
  bool operator==(const SmarthostLock&) const = default;
};

// The record after one more failure.
inline SmarthostLock after_failure(SmarthostLock lock, std::int64_t now_ms, std::string reply) {
  ++lock.failures;
  lock.last_failure_ms = now_ms;
  lock.reply = std::move(reply);
  if (lock.failures >= kLoginFailuresMax && !lock.locked()) lock.locked_ms = now_ms;
  return lock;
}

}  // namespace policy
