// The check of the queue on a thread of its own: POST starts it, GET says how far it is and what it
// found. One at a time.
#pragma once

#include "relayd/admin/router.h"
#include "relayd/admin/server.h"

namespace admin {

// Adds POST and GET /v1/queue/fsck. The thread ends with the router.
void register_queue_fsck(Router& router, const AdminOptions& options);

}  // namespace admin
