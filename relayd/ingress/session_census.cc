#include "relayd/ingress/session_census.h"

namespace ingress {

SessionCensus::SessionCensus(base::Metrics& metrics)
    : gauge_(metrics.gauge("relayd_smtp_sessions", "SMTP sessions open now.")) {}

SessionCensus::Entry SessionCensus::enter(const std::string& ip, const base::Limits& limits) {
  const std::lock_guard lock(mutex_);
  if (open_ >= limits.sessions) return Entry::kTooMany;
  std::int64_t& here = by_address_[ip];
  if (here >= limits.sessions_per_address) return Entry::kTooManyFromAddress;
  ++here;
  gauge_.set(++open_);
  return Entry::kWelcome;
}

void SessionCensus::leave(const std::string& ip) {
  const std::lock_guard lock(mutex_);
  gauge_.set(--open_);
  const auto at = by_address_.find(ip);
  if (--at->second == 0) by_address_.erase(at);
}

std::int64_t SessionCensus::open() const {
  const std::lock_guard lock(mutex_);
  return open_;
}

}  // namespace ingress
