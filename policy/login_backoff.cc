#include "policy/login_backoff.h"

#include <arpa/inet.h>

#include <algorithm>
#include <utility>

#include "core/base/bytes.h"

namespace policy {
namespace {

// A user name that is longer is none of ours; all of them share one entry.
constexpr std::size_t kUserOctets = 320;

// One customer has a /64 of IPv6 at least, so addresses inside it count as one.
std::string address_key(std::string_view address) {
  in6_addr v6{};
  const std::string text(address.substr(0, 64));
  if (inet_pton(AF_INET6, text.c_str(), &v6) != 1) return text;
  return base::hex_encode({reinterpret_cast<const char*>(v6.s6_addr), 8});
}

std::string user_key(std::string_view user) {
  return user.size() > kUserOctets ? "?" : std::string(user);
}

std::string pair_key(std::string_view address, std::string_view user) {
  return "p/" + address_key(address) + "/" + user_key(user);
}

}  // namespace

LoginBackoff::Entry* LoginBackoff::find(const std::string& key) {
  const auto at = by_key_.find(key);
  if (at == by_key_.end()) return nullptr;
  by_use_.splice(by_use_.begin(), by_use_, at->second);
  return &*at->second;
}

LoginBackoff::Entry& LoginBackoff::touch(std::string key) {
  if (Entry* known = find(key); known != nullptr) return *known;
  const auto most =
      static_cast<std::size_t>(std::max<std::int64_t>(limits_.login_backoff_entries, 3));
  while (by_use_.size() >= most) {
    by_key_.erase(by_use_.back().key);
    by_use_.pop_back();
  }
  by_use_.push_front(Entry{});
  by_use_.front().key = std::move(key);
  by_key_.emplace(by_use_.front().key, by_use_.begin());
  return by_use_.front();
}

std::int64_t LoginBackoff::rest_ms(const Entry* entry) const {
  return entry == nullptr ? 0 : std::max<std::int64_t>(entry->until_ms - clock_.steady_ms(), 0);
}

std::int64_t LoginBackoff::wait_ms(std::string_view address, std::string_view user) {
  const std::lock_guard lock(mutex_);
  if (!user.empty()) {
    const Entry* pair = find(pair_key(address, user));
    if (pair != nullptr && pair->proven) return rest_ms(pair);
  }
  const std::int64_t of_address = rest_ms(find("a/" + address_key(address)));
  if (user.empty()) return of_address;
  return std::max(of_address, rest_ms(find("u/" + user_key(user))));
}

void LoginBackoff::count(std::string key) {
  Entry& entry = touch(std::move(key));
  const std::int64_t now_ms = clock_.steady_ms();
  // Old failures are forgiven: a mended server starts anew.
  if (entry.failures > 0 && now_ms - entry.last_ms > 2 * limits_.login_backoff_longest) {
    entry.failures = 0;
  }
  entry.last_ms = now_ms;
  ++entry.failures;
  const std::int64_t doublings = entry.failures - limits_.login_backoff_after;
  if (doublings < 0) return;
  std::int64_t wait_ms = limits_.login_backoff_first;
  for (std::int64_t i = 0; i < doublings && wait_ms < limits_.login_backoff_longest; ++i) {
    wait_ms *= 2;
  }
  entry.until_ms = now_ms + std::min(wait_ms, limits_.login_backoff_longest);
}

void LoginBackoff::failed(std::string_view address, std::string_view user) {
  const std::lock_guard lock(mutex_);
  count("a/" + address_key(address));
  if (user.empty()) return;
  count("u/" + user_key(user));
  const std::string pair = pair_key(address, user);
  if (find(pair) != nullptr) count(pair);
}

void LoginBackoff::succeeded(std::string_view address, std::string_view user) {
  const std::lock_guard lock(mutex_);
  if (const auto at = by_key_.find("u/" + user_key(user)); at != by_key_.end()) {
    const auto entry = at->second;
    by_key_.erase(at);
    by_use_.erase(entry);
  }
  Entry& pair = touch(pair_key(address, user));
  pair.failures = 0;
  pair.until_ms = 0;
  pair.proven = true;
}

std::size_t LoginBackoff::entries() const {
  const std::lock_guard lock(mutex_);
  return by_use_.size();
}

}  // namespace policy
