// `relayctl apply` on a draft of the accounts: idempotent, and all or nothing because the draft is
// thrown away on an error. Pure, but for generated secrets.
#pragma once

#include <map>
#include <set>
#include <string>

#include "core/base/limits.h"
#include "core/base/result.h"
#include "policy/account_mint.h"
#include "policy/account_store.h"

namespace policy {

// The accounts while one change is being made.
struct Draft {
  std::map<std::string, Tenant> tenants;
  std::set<std::string> touched;  // names of tenants to write or to delete

  Tenant* tenant(const std::string& name);  // marks it touched
};

base::Result<Applied> apply_plan(Draft& draft, const Plan& plan, const Accounts& before,
                                 AccountMint& mint, const base::Limits& limits);

}  // namespace policy
