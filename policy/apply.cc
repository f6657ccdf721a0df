#include "policy/apply.h"

#include <string_view>
#include <utility>

#include "core/base/bytes.h"
#include "core/mail/address.h"
#include "policy/plan_check.h"

namespace policy {
namespace {

class Applier {
 public:
  Applier(Draft& draft, const Accounts& before, AccountMint& mint, const base::Limits& limits)
      : draft_(draft), before_(before), mint_(mint), limits_(limits) {}

  base::Result<Applied> apply(const Plan& plan) {
    for (const TenantPlan& tenant : plan.tenants) {
      const base::Status status = apply_tenant(tenant);
      if (!status.ok()) return status.error();
    }
    return std::move(applied_);
  }

 private:
  base::Status apply_tenant(const TenantPlan& plan) {
    const std::string where = "tenant " + base::printable(plan.name);
    if (base::Status status = check_tenant_name(plan.name); !status.ok()) return status;
    Tenant* tenant = draft_.tenant(plan.name);
    std::string webhook_secret;
    std::optional<NewCredential> credential;
    if (tenant == nullptr) {
      if (plan.backend_url.empty()) return refuse(where, "a new tenant needs backend.url");
      if (base::Status status = check_count(where, "tenants", draft_.tenants.size() + 1,
                                            limits_.tenants, "limits.tenants");
          !status.ok()) {
        return status;
      }
      tenant = &draft_.tenants[plan.name];
      tenant->name = plan.name;
      AccountMint::Secret secret = mint_.webhook_secret(plan.name);
      tenant->backend.sealed_webhook_secrets.push_back(secret.sealed);
      webhook_secret = std::move(secret.shown);
      AccountMint::Minted minted = mint_.credential(plan.name, "");
      tenant->credentials.push_back(minted.kept);
      credential = std::move(minted.shown);
    }
    if (!plan.backend_url.empty()) {
      if (base::Status status = check_backend_url(plan.backend_url); !status.ok()) {
        return refuse(where, "backend.url: " + status.message());
      }
      tenant->backend.url = plan.backend_url;
    }
    if (plan.format) tenant->backend.format = *plan.format;
    if (plan.partners) {
      auto partners = check_partners(*plan.partners, limits_);
      if (!partners.ok()) return refuse(where, partners.message());
      tenant->partners = partners.take();
    }
    applied_.tenants.push_back({plan.name, std::move(webhook_secret), std::move(credential)});
    for (const DomainPlan& domain : plan.domains) {
      if (base::Status status = apply_domain(*tenant, domain, where); !status.ok()) return status;
    }
    return check_count(where, "domains", tenant->domains.size(), limits_.domains_per_tenant,
                       "limits.domains_per_tenant");
  }

  base::Status apply_domain(Tenant& tenant, const DomainPlan& plan,
                            const std::string& tenant_where) {
    const std::string where = tenant_where + ", domain " + base::printable(plan.name);
    auto normalized = mail::normalize_domain(plan.name);
    if (!normalized.ok()) return refuse(where, normalized.message());
    const std::string& domain_name = *normalized;
    const std::string owner = owner_of(domain_name);
    if (!owner.empty() && owner != tenant.name) {
      return refuse(where, "belongs to tenant " + owner + "; remove it there first");
    }
    const bool is_new = !tenant.domains.contains(domain_name);
    Domain& domain = tenant.domains[domain_name];
    std::optional<NewCredential> credential;
    if (is_new) {
      domain.name = domain_name;
      domain.tenant = tenant.name;
      AccountMint::Minted minted = mint_.credential(tenant.name, domain_name);
      domain.credentials.push_back(minted.kept);
      credential = std::move(minted.shown);
    }
    if (plan.mode) domain.mode = *plan.mode;
    if (plan.inbound) domain.inbound = *plan.inbound;
    if (plan.trusted_authserv_ids) {
      auto ids = check_authserv_ids(*plan.trusted_authserv_ids);
      if (!ids.ok()) return refuse(where, ids.message());
      domain.trusted_authserv_ids = ids.take();
    }
    if (plan.partners) {
      auto partners = check_partners(*plan.partners, limits_);
      if (!partners.ok()) return refuse(where, partners.message());
      domain.partners = partners.take();
    }
    if (plan.smarthost) {
      if (base::Status status =
              apply_smarthost(domain.smarthost, *plan.smarthost, domain_name, where);
          !status.ok()) {
        return status;
      }
    }
    applied_.domains.push_back({domain_name, std::move(credential)});
    for (const AddressPlan& address : plan.addresses) {
      if (base::Status status = apply_address(domain, address, where); !status.ok()) return status;
    }
    return check_count(where, "addresses", domain.addresses.size(), limits_.addresses_per_domain,
                       "limits.addresses_per_domain");
  }

  base::Status apply_address(Domain& domain, const AddressPlan& plan,
                             const std::string& domain_where) {
    const std::string where = domain_where + ", address " + base::printable(plan.address);
    const auto parsed = mail::parse_mailbox(plan.address);
    if (!parsed.ok()) return refuse(where, parsed.message());
    const auto normalized = mail::normalize_address(*parsed);
    if (!normalized.ok()) return refuse(where, normalized.message());
    const std::string address_domain = normalized->substr(normalized->rfind('@') + 1);
    if (address_domain != domain.name) {
      const std::string owner = owner_of(address_domain);
      if (!owner.empty() && owner != domain.tenant) {
        return refuse(where, "belongs to tenant " + owner);
      }
      return refuse(where, "is not in domain " + domain.name);
    }
    SupportAddress& address = domain.addresses[*normalized];
    address.address = *normalized;
    address.domain = domain.name;
    if (!plan.smarthost) return base::Ok{};
    return apply_smarthost(address.smarthost, *plan.smarthost, *normalized, where);
  }

  base::Status apply_smarthost(std::optional<Smarthost>& current, const SmarthostPlan& plan,
                               const std::string& key, const std::string& owner_where) {
    const std::string where = owner_where + ", smarthost";
    if (base::Status status = check_smarthost(plan, limits_); !status.ok()) {
      return refuse(where, status.message());
    }
    const std::string context = "smarthost/" + key;
    Smarthost next;
    next.host = plan.host;
    next.port = plan.port;
    next.tls = plan.tls;
    next.username = plan.username;
    next.reconnect_interval_ms = plan.reconnect_interval_ms;
    next.connections = plan.connections;
    next.more_hosts = plan.more_hosts;
    next.messages_per_minute = plan.messages_per_minute;
    next.messages_per_day = plan.messages_per_day;
    next.recipients_per_day = plan.recipients_per_day;
    next.preset = plan.preset;
    if (!plan.username.empty()) {
      const bool same_user = current && current->username == plan.username;
      if (!plan.password && !same_user) return refuse(where, "a user name needs a password");
      // The same password keeps its sealed form, so that applying a file twice changes nothing.
      if (same_user && (!plan.password || opens_to(*current, context, *plan.password))) {
        next.sealed_password = current->sealed_password;
      } else {
        next.sealed_password = mint_.sealer().seal(*plan.password, context);
      }
    }
    current = std::move(next);
    return base::Ok{};
  }

  [[nodiscard]] bool opens_to(const Smarthost& smarthost, const std::string& context,
                              const std::string& password) const {
    const auto known = mint_.sealer().unseal(smarthost.sealed_password, context);
    return known.ok() && *known == password;
  }

  // "" where nobody has the domain. Tenants of this very plan come first.
  [[nodiscard]] std::string owner_of(const std::string& domain_name) const {
    for (const std::string& touched : draft_.touched) {
      const auto at = draft_.tenants.find(touched);
      if (at != draft_.tenants.end() && at->second.domains.contains(domain_name)) return touched;
    }
    const Domain* domain = before_.domain(domain_name);
    return domain == nullptr ? std::string() : domain->tenant;
  }

  static base::Error refuse(const std::string& where, const std::string& why) {
    return base::error(where + ": " + why);
  }

  static base::Status check_count(const std::string& where, std::string_view what,
                                  std::size_t asked, std::int64_t most, std::string_view key) {
    if (asked <= static_cast<std::size_t>(most)) return base::Ok{};
    return refuse(where, "would have " + std::to_string(asked) + " " + std::string(what) +
                             ", at most " + std::to_string(most) + " are allowed (" +
                             std::string(key) + ")");
  }

  Draft& draft_;
  const Accounts& before_;
  AccountMint& mint_;
  const base::Limits& limits_;
  Applied applied_;
};

}  // namespace

Tenant* Draft::tenant(const std::string& name) {
  touched.insert(name);
  const auto at = tenants.find(name);
  return at == tenants.end() ? nullptr : &at->second;
}

base::Result<Applied> apply_plan(Draft& draft, const Plan& plan, const Accounts& before,
                                 AccountMint& mint, const base::Limits& limits) {
  return Applier(draft, before, mint, limits).apply(plan);
}

}  // namespace policy
