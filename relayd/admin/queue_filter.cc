#include "relayd/admin/queue_filter.h"

#include <string>

#include "core/base/units.h"
#include "relayd/admin/api_support.h"

namespace admin {
namespace {

// The moment that was ?key= ago; false: 400 has been answered.
bool read_age(const AdminOptions& options, const ExchangePtr& exchange, const std::string& key,
              std::optional<std::int64_t>& moment_ms) {
  const std::string text = query_value(*exchange, key);
  if (text.empty()) return true;
  const auto age_ms = base::parse_duration_ms(text);
  if (!age_ms) {
    exchange->refuse(400, key + ": a duration is expected, as in 90m, 4h or 2d");
    return false;
  }
  moment_ms = options.clock->wall_ms() - *age_ms;
  return true;
}

}  // namespace

std::optional<queue::Filter> queue_filter(const AdminOptions& options,
                                          const ExchangePtr& exchange) {
  queue::Filter filter;
  filter.tenant = query_value(*exchange, "tenant");
  filter.destination = query_value(*exchange, "destination");
  filter.sender = query_value(*exchange, "sender");
  filter.recipient = query_value(*exchange, "recipient");
  if (const std::string domain = query_value(*exchange, "domain"); !domain.empty()) {
    filter.domain = normal_domain(domain);
  }
  if (const std::string state = query_value(*exchange, "state"); !state.empty()) {
    if (state != "waiting" && state != "held") {
      exchange->refuse(400, "state: waiting or held is expected");
      return std::nullopt;
    }
    filter.state = state == "held" ? queue::State::kHeld : queue::State::kWaiting;
  }
  if (!read_age(options, exchange, "older-than", filter.arrived_before_ms) ||
      !read_age(options, exchange, "newer-than", filter.arrived_after_ms)) {
    return std::nullopt;
  }
  return filter;
}

}  // namespace admin
