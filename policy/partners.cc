#include "policy/partners.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "core/mail/address.h"

namespace policy {
namespace {

// `sorted` as check_partners() left it.
bool names(const std::vector<std::string>& sorted, const std::string& address) {
  const auto has = [&](const std::string& name) {
    return std::binary_search(sorted.begin(), sorted.end(), name);
  };
  if (sorted.empty()) return false;
  if (has(address)) return true;
  for (std::size_t at = address.rfind('@'); at != std::string::npos;
       at = address.find('.', at + 1)) {
    if (has(address.substr(at + 1))) return true;
  }
  return false;
}

}  // namespace

bool is_partner(const Accounts& accounts, const Domain& domain, std::string_view address) {
  const Tenant* tenant = accounts.tenant(domain.tenant);
  const bool any = !domain.partners.empty() || (tenant != nullptr && !tenant->partners.empty());
  const auto name = any ? mail::normalized_mailbox(address) : std::nullopt;
  if (!name) return false;
  return names(domain.partners, *name) || (tenant != nullptr && names(tenant->partners, *name));
}

bool has_partners(const Tenant& tenant) {
  return !tenant.partners.empty() ||
         std::any_of(tenant.domains.begin(), tenant.domains.end(),
                     [](const auto& one) { return !one.second.partners.empty(); });
}

bool is_partner(const Tenant& tenant, std::string_view address) {
  const auto name = mail::normalized_mailbox(address);
  if (!name) return false;
  return names(tenant.partners, *name) ||
         std::any_of(tenant.domains.begin(), tenant.domains.end(),
                     [&](const auto& one) { return names(one.second.partners, *name); });
}

}  // namespace policy
