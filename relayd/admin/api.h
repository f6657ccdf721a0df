// The subjects of the admin API: each adds its routes. Handlers run on the loop's thread.
#pragma once

#include "relayd/admin/router.h"
#include "relayd/admin/server.h"

namespace admin {

// `options` outlives the router.
void register_accounts(Router& router, const AdminOptions& options);
void register_credentials(Router& router, const AdminOptions& options);
void register_dkim(Router& router, const AdminOptions& options);
void register_trail(Router& router, const AdminOptions& options);
void register_queue(Router& router, const AdminOptions& options);

}  // namespace admin
