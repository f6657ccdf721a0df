// Gathers what is known of a waiting message: from the store, and from the rooms that are to send
// its deliveries.
#pragma once

#include <functional>
#include <vector>

#include "relayd/admin/explanation.h"
#include "relayd/admin/server.h"

namespace admin {

// `done` comes on the admin loop, perhaps from inside the call, with one situation a delivery (a
// bounded number of them); or never while relayd stops.
void ask_why(const AdminOptions& options, const queue::Message& message,
             std::function<void(const std::vector<Situation>&)> done);

}  // namespace admin
