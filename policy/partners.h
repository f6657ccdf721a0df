// Partner addresses (product rule A5): another help desk that shares tickets with this one. Mail
// from it is refused and mail to it suppressed, since the tickets travel another way and two desks
// that answer each other never stop. Pure.
#pragma once

#include <string>
#include <string_view>

#include "policy/accounts.h"

namespace policy {

// Of the tenant or of any of its domains.
bool has_partners(const Tenant& tenant);
// Is the address, or its domain or one above it, a partner of the domain or of its tenant? Anything
// that is no address is none.
bool is_partner(const Accounts& accounts, const Domain& domain, std::string_view address);
// The same for all domains of a tenant: where it is not known yet which of them sends.
bool is_partner(const Tenant& tenant, std::string_view address);

}  // namespace policy
