// What of the queue a filter selects: for lists, and for orders to many at once.
#pragma once

#include <cstddef>
#include <optional>

#include "queue/environment.h"
#include "queue/store.h"

namespace queue {

Listing list_deliveries(const Txn& txn, const Filter& filter, std::size_t rows_max);
// At most `rows_max` of them, after looking at no more than `records_max` deliveries.
Selection select_deliveries(const Txn& txn, const Filter& filter,
                            const std::optional<DeliveryName>& after, std::size_t rows_max,
                            std::size_t records_max);

// See Store::count_before.
std::uint64_t count_deliveries_before(const Txn& txn, const Delivery& delivery, std::uint64_t most);

}  // namespace queue
