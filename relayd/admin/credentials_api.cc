// Credentials by their owner: a domain's serve delivering in, a tenant's sending out.
#include "relayd/admin/accounts_json.h"
#include "relayd/admin/api.h"
#include "relayd/admin/api_support.h"

namespace admin {
namespace {

using nlohmann::json;

void list(const AdminOptions& options, const ExchangePtr& exchange) {
  const std::string& owner = exchange->arguments[0];
  const auto accounts = options.accounts->snapshot();
  const policy::Domain* domain = accounts->domain(normal_domain(owner));
  const policy::Tenant* tenant = accounts->tenant(owner);
  if (domain == nullptr && tenant == nullptr) {
    return exchange->refuse(404, "there is no domain or tenant " + owner);
  }
  json rows = json::array();
  if (domain != nullptr) {
    for (const auto& credential : domain->credentials) rows.push_back(to_json(credential));
  }
  if (tenant != nullptr) {
    for (const auto& credential : tenant->credentials) rows.push_back(to_json(credential));
  }
  exchange->reply(200, {{"credentials", std::move(rows)}});
}

void list_all(const AdminOptions& options, const ExchangePtr& exchange) {
  const auto accounts = options.accounts->snapshot();
  json rows = json::array();
  for (const auto& [tenant_name, tenant] : accounts->tenants()) {
    for (const auto& credential : tenant.credentials) rows.push_back(to_json(credential));
    for (const auto& [domain_name, domain] : tenant.domains) {
      for (const auto& credential : domain.credentials) rows.push_back(to_json(credential));
    }
  }
  exchange->reply(200, {{"credentials", std::move(rows)}});
}

// A new one beside the old: a domain's is limited to two (product rule D3).
void rotate(const AdminOptions& options, const ExchangePtr& exchange) {
  const std::string& owner = exchange->arguments[0];
  const auto accounts = options.accounts->snapshot();
  const bool is_domain = accounts->domain(normal_domain(owner)) != nullptr;
  if (!is_domain && accounts->tenant(owner) == nullptr) {
    return exchange->refuse(404, "there is no domain or tenant " + owner);
  }
  const auto made = is_domain ? options.accounts->rotate_credential(owner)
                              : options.accounts->add_tenant_credential(owner);
  if (!made.ok()) return refuse(exchange, made.error());
  exchange->reply(200, {{"credential", to_json(*made)}});
}

void revoke(const AdminOptions& options, const ExchangePtr& exchange) {
  const auto status =
      options.accounts->revoke_credential(exchange->arguments[0], exchange->arguments[1]);
  if (!status.ok()) return refuse(exchange, status.error());
  exchange->reply(200, {{"revoked", exchange->arguments[1]}});
}

}  // namespace

void register_credentials(Router& router, const AdminOptions& options) {
  router.add("GET", "/v1/credentials",
             [&options](const ExchangePtr& exchange) { list_all(options, exchange); });
  router.add("GET", "/v1/credentials/*",
             [&options](const ExchangePtr& exchange) { list(options, exchange); });
  router.add("POST", "/v1/credentials/*/rotate",
             [&options](const ExchangePtr& exchange) { rotate(options, exchange); });
  router.add("DELETE", "/v1/credentials/*/*",
             [&options](const ExchangePtr& exchange) { revoke(options, exchange); });
}

}  // namespace admin
