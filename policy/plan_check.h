// What single values of the accounts may look like. Pure. Errors say what is expected, not where:
// the caller knows the record.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/limits.h"
#include "core/base/result.h"
#include "policy/account_store.h"

namespace policy {

// 1 to 63 of a-z, 0-9, ".", "-", "_", the first a letter or a digit. It becomes a part of user
// names, queue destinations and paths of the admin API.
base::Status check_tenant_name(std::string_view name);
// http or https with a host, no blanks.
base::Status check_backend_url(std::string_view url);
base::Status check_smarthost(const SmarthostPlan& plan, const base::Limits& limits);
// Names of servers as they stand in Authentication-Results (RFC 8601 2.5): normalized, sorted,
// without duplicates.
base::Result<std::vector<std::string>> check_authserv_ids(const std::vector<std::string>& ids);
// Mail addresses and domains (product rule A5): normalized, sorted, without duplicates.
base::Result<std::vector<std::string>> check_partners(const std::vector<std::string>& partners,
                                                      const base::Limits& limits);
// Labels of letters, digits, "-" and "_", separated by dots (RFC 6376 3.1).
base::Status check_selector(std::string_view selector);

}  // namespace policy
