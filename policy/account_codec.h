// A tenant and all that belongs to it as one JSON record of the accounts' database. Pure, but for
// the sealing of secrets.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "certs/sealer.h"
#include "core/base/result.h"
#include "policy/accounts.h"
#include "policy/smarthost_lock.h"

namespace policy {

std::string encode_tenant(const Tenant& tenant, const certs::Sealer& sealer);

// Parses DKIM keys, so it costs; done once a start. An error names the record: damaged, or sealed
// under another key.
base::Result<Tenant> decode_tenant(std::string_view name, std::string_view record,
                                   const certs::Sealer& sealer);

// What is held against an account at a smarthost.
std::string encode_lock(const SmarthostAccount& account, const SmarthostLock& lock);
base::Result<std::pair<SmarthostAccount, SmarthostLock>> decode_lock(std::string_view record);

}  // namespace policy
