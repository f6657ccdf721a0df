// Orders to everything that a filter selects: counted first, carried out a page at a time.
#pragma once

#include <string>

#include "relayd/admin/exchange.h"
#include "relayd/admin/server.h"

namespace admin {

// POST /v1/queue/ORDER?FILTER[&yes=true][&reason=...]. Without yes only {"count"} is answered, with
// it also what was done. `options` outlives the answer.
void order_many(const AdminOptions& options, queue::Store::Order order,
                const ExchangePtr& exchange);

}  // namespace admin
