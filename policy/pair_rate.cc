#include "policy/pair_rate.h"

#include <algorithm>

#include "certs/digest.h"
#include "core/base/id.h"

namespace policy {

PairRate::PairRate(const base::Limits& limits)
    : messages_max_(limits.loop_pair_messages),
      window_ms_(limits.loop_pair_window),
      pairs_max_(static_cast<std::size_t>(limits.loop_pairs)),
      key_(base::random_bytes(32)) {}

PairRate::Name PairRate::name(std::string_view sender, std::string_view address) const {
  // No address holds a NUL.
  const std::string digest =
      certs::hmac_sha256(key_, std::string(sender) + '\0' + std::string(address));
  Name name{};
  std::copy_n(digest.begin(), name.size(), name.begin());
  return name;
}

std::int64_t PairRate::count(std::string_view sender, std::string_view address,
                             std::int64_t steady_ms) {
  const Name pair = name(sender, address);
  const std::lock_guard lock(mutex_);
  auto at = entries_.find(pair);
  if (at != entries_.end() && steady_ms - at->second.begin_ms >= window_ms_) {
    by_age_.erase(at->second.age);
    entries_.erase(at);
    at = entries_.end();
  }
  if (at == entries_.end()) {
    if (entries_.size() >= pairs_max_) {
      entries_.erase(by_age_.front());
      by_age_.pop_front();
    }
    const auto age = by_age_.insert(by_age_.end(), pair);
    at = entries_.emplace(pair, Entry{steady_ms, 0, age}).first;
  }
  return std::max<std::int64_t>(++at->second.messages - messages_max_, 0);
}

bool PairRate::is_over(std::string_view sender, std::string_view address,
                       std::int64_t steady_ms) const {
  const Name pair = name(sender, address);
  const std::lock_guard lock(mutex_);
  const auto at = entries_.find(pair);
  return at != entries_.end() && steady_ms - at->second.begin_ms < window_ms_ &&
         at->second.messages > messages_max_;
}

std::size_t PairRate::size() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

}  // namespace policy
