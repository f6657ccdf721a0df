// The query of a request as a filter of the queue.
#pragma once

#include <optional>

#include "queue/store.h"
#include "relayd/admin/exchange.h"
#include "relayd/admin/server.h"

namespace admin {

// ?tenant, domain, destination, state, older-than, newer-than (durations), sender, recipient.
// nullopt: 400 has been answered.
std::optional<queue::Filter> queue_filter(const AdminOptions& options, const ExchangePtr& exchange);

}  // namespace admin
