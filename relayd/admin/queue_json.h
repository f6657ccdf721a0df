// Messages and deliveries of the queue as JSON: for the admin API and for what relayctl writes
// beside an exported message.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "queue/store.h"

namespace admin {

nlohmann::json message_json(const queue::Message& message);
// A row of `queue list`: the message with what is known of one delivery.
nlohmann::json row_json(const queue::Message& message, const queue::Delivery& delivery);
// All there is: the whole envelope, every delivery with its recipients' states.
nlohmann::json whole_json(const queue::Message& message,
                          const std::vector<queue::Delivery>& deliveries);
nlohmann::json report_json(const queue::CheckReport& report);

}  // namespace admin
