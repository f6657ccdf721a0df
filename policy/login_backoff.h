// Growing waits after failed logins, per remote address and per user name. Bounded: past
// limits.login_backoff_entries what was idle longest is forgotten. Thread-safe.
//
// A busy address (many servers behind one NAT) or a user name that somebody else guesses at must
// not lock out the right user. So a pair of address and user that has logged in before is judged by
// failures of that pair alone; the rest of the world's failures do not touch it. A user who has
// not been seen at that address shares its wait, which ends by itself: attempts made during a
// wait are not checked, so they neither count nor lengthen it.
#pragma once

#include <cstdint>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "core/base/clock.h"
#include "core/base/limits.h"

namespace policy {

class LoginBackoff {
 public:
  LoginBackoff(const base::Clock& clock, const base::Limits& limits)
      : clock_(clock), limits_(limits) {}

  // Milliseconds this attempt has to wait; 0: check the password. `user` empty: not known (yet).
  std::int64_t wait_ms(std::string_view address, std::string_view user);
  void failed(std::string_view address, std::string_view user);
  // The user starts anew, and the pair is known from now on. The address keeps its failures, so
  // that one good account does not cover up guesses at others.
  void succeeded(std::string_view address, std::string_view user);

  [[nodiscard]] std::size_t entries() const;

 private:
  struct Entry {
    std::string key;
    std::int64_t failures = 0;
    std::int64_t until_ms = 0;  // steady clock
    std::int64_t last_ms = 0;
    bool proven = false;
  };
  Entry* find(const std::string& key);
  Entry& touch(std::string key);
  [[nodiscard]] std::int64_t rest_ms(const Entry* entry) const;
  void count(std::string key);

  const base::Clock& clock_;
  const base::Limits& limits_;
  mutable std::mutex mutex_;
  std::list<Entry> by_use_;  // most recently used first
  std::unordered_map<std::string_view, std::list<Entry>::iterator> by_key_;  // views into by_use_
};

}  // namespace policy
