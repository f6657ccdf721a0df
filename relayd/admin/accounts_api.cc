// Tenants, domains, addresses, smarthosts, back ends: apply, list, show, remove.
#include <utility>

#include "relayd/admin/accounts_json.h"
#include "relayd/admin/api.h"
#include "relayd/admin/api_support.h"
#include "relayd/admin/plan_json.h"

namespace admin {
namespace {

using nlohmann::json;

// Rows of one list, thinned by ?tenant= and ?domain=.
template <typename Row>
json domains_list(const Exchange& exchange, const policy::Accounts& accounts, Row add) {
  const std::string tenant_wanted = query_value(exchange, "tenant");
  const std::string domain_wanted = normal_domain(query_value(exchange, "domain"));
  json rows = json::array();
  for (const auto& [tenant_name, tenant] : accounts.tenants()) {
    if (!tenant_wanted.empty() && tenant_name != tenant_wanted) continue;
    for (const auto& [domain_name, domain] : tenant.domains) {
      if (!domain_wanted.empty() && domain_name != domain_wanted) continue;
      add(domain, rows);
    }
  }
  return rows;
}

// A smarthost with its key and what is held against its account (product rule O3).
json smarthost_json(const std::string& key, const policy::Smarthost& smarthost,
                    const policy::Accounts& accounts, const policy::AccountStore& store) {
  json row = to_json(smarthost);
  row["key"] = key;
  const auto account = accounts.smarthost_account(key);
  row.update(lock_json(account ? store.smarthost_lock(*account) : std::nullopt));
  return row;
}

std::string smarthost_key(const std::string& text) {
  return text.find('@') == std::string::npos ? normal_domain(text) : normal_address(text);
}

class AccountsApi {
 public:
  explicit AccountsApi(const AdminOptions& options) : options_(options) {}

  void apply(const ExchangePtr& exchange) const {
    const auto document = body_object(exchange);
    if (!document) return;
    const auto plan = read_plan(*document);
    if (const auto* mistake = std::get_if<PlanMistake>(&plan)) {
      return exchange->refuse(400, mistake->str());
    }
    const auto applied = options_.accounts->apply(std::get<policy::Plan>(plan));
    if (!applied.ok()) return refuse(exchange, applied.error());
    exchange->reply(200, to_json(*applied));
  }

  void tenants(const ExchangePtr& exchange) const {
    json rows = json::array();
    for (const auto& [name, tenant] : accounts()->tenants()) rows.push_back(to_json(tenant));
    exchange->reply(200, {{"tenants", std::move(rows)}});
  }
  void tenant(const ExchangePtr& exchange) const {
    const auto snapshot = accounts();
    const policy::Tenant* tenant = snapshot->tenant(exchange->arguments[0]);
    if (tenant == nullptr) return missing(exchange, "tenant");
    exchange->reply(200, to_json(*tenant));
  }
  void remove_tenant(const ExchangePtr& exchange) const {
    queue::Filter filter;
    filter.tenant = exchange->arguments[0];
    removed(exchange, options_.accounts->remove_tenant(exchange->arguments[0]), filter);
  }

  void domains(const ExchangePtr& exchange) const {
    exchange->reply(200, {{"domains", domains_list(*exchange, *accounts(),
                                                   [](const policy::Domain& domain, json& rows) {
                                                     rows.push_back(to_json(domain));
                                                   })}});
  }
  void domain(const ExchangePtr& exchange) const {
    const auto snapshot = accounts();
    const policy::Domain* domain = snapshot->domain(normal_domain(exchange->arguments[0]));
    if (domain == nullptr) return missing(exchange, "domain");
    exchange->reply(200, to_json(*domain));
  }
  void remove_domain(const ExchangePtr& exchange) const {
    queue::Filter filter;
    filter.domain = normal_domain(exchange->arguments[0]);
    removed(exchange, options_.accounts->remove_domain(exchange->arguments[0]), filter);
  }

  void addresses(const ExchangePtr& exchange) const {
    exchange->reply(
        200, {{"addresses",
               domains_list(*exchange, *accounts(), [](const policy::Domain& domain, json& rows) {
                 for (const auto& [text, address] : domain.addresses) {
                   rows.push_back(to_json(address, domain));
                 }
               })}});
  }
  void address(const ExchangePtr& exchange) const {
    const auto snapshot = accounts();
    const auto* address = snapshot->address(normal_address(exchange->arguments[0]));
    if (address == nullptr) return missing(exchange, "address");
    exchange->reply(200, to_json(*address, *snapshot->domain(address->domain)));
  }
  void remove_address(const ExchangePtr& exchange) const {
    const auto gone = options_.accounts->remove_address(exchange->arguments[0]);
    if (!gone.ok()) return refuse(exchange, gone.error());
    const std::string address = normal_address(exchange->arguments[0]);
    queue::Filter filter;
    filter.domain = address.substr(address.rfind('@') + 1);
    filter.rows_max = static_cast<std::size_t>(options_.limits->queue_list);
    std::uint64_t queued = 0;
    for (const queue::Row& row : options_.store->list(filter).rows) {
      if (row.message.support_address == address) ++queued;
    }
    exchange->reply(200, {{"removed", to_json(*gone)}, {"still_queued", queued}});
  }

  // The operator's word, without a round trip (product rule D9).
  void set_verification(const ExchangePtr& exchange) const {
    const auto body = body_object(exchange);
    if (!body) return;
    const auto state = policy::parse_verification(body->value("state", ""));
    if (!state) {
      return exchange->refuse(400, "state: unverified, pending, verified or failed is expected");
    }
    const auto status = options_.accounts->set_verification(exchange->arguments[0], *state);
    if (!status.ok()) return refuse(exchange, status.error());
    address(exchange);
  }

  void smarthosts(const ExchangePtr& exchange) const {
    const auto snapshot = accounts();
    const auto add = [&](const std::string& key, const std::optional<policy::Smarthost>& smarthost,
                         json& rows) {
      if (!smarthost) return;
      rows.push_back(smarthost_json(key, *smarthost, *snapshot, *options_.accounts));
    };
    exchange->reply(
        200, {{"smarthosts",
               domains_list(*exchange, *snapshot, [&](const policy::Domain& domain, json& rows) {
                 add(domain.name, domain.smarthost, rows);
                 for (const auto& [text, address] : domain.addresses) {
                   add(text, address.smarthost, rows);
                 }
               })}});
  }
  void smarthost(const ExchangePtr& exchange) const {
    const auto snapshot = accounts();
    const std::string key = smarthost_key(exchange->arguments[0]);
    const policy::Smarthost* smarthost = snapshot->smarthost_by_key(key);
    if (smarthost == nullptr) return missing(exchange, "smarthost of");
    exchange->reply(200, smarthost_json(key, *smarthost, *snapshot, *options_.accounts));
  }
  void unlock_smarthost(const ExchangePtr& exchange) const {
    const std::string key = smarthost_key(exchange->arguments[0]);
    const auto was_locked = options_.accounts->unlock_smarthost(key);
    if (!was_locked.ok()) return refuse(exchange, was_locked.error());
    exchange->reply(200, {{"key", key}, {"was_locked", *was_locked}});
  }
  void remove_smarthost(const ExchangePtr& exchange) const {
    queue::Filter filter;
    filter.destination = "smarthost:" + smarthost_key(exchange->arguments[0]);
    removed(exchange, options_.accounts->remove_smarthost(exchange->arguments[0]), filter);
  }

  void backends(const ExchangePtr& exchange) const {
    json rows = json::array();
    const auto paused = paused_backends();
    for (const auto& [name, tenant] : accounts()->tenants()) rows.push_back(row(tenant, paused));
    exchange->reply(200, {{"backends", std::move(rows)}});
  }
  void backend(const ExchangePtr& exchange) const {
    const auto snapshot = accounts();
    const policy::Tenant* tenant = snapshot->tenant(exchange->arguments[0]);
    if (tenant == nullptr) return missing(exchange, "tenant");
    exchange->reply(200, row(*tenant, paused_backends()));
  }
  void resume_backend(const ExchangePtr& exchange) const {
    const std::string& tenant = exchange->arguments[0];
    if (accounts()->tenant(tenant) == nullptr) return missing(exchange, "tenant");
    const bool was_paused = options_.resume_backend && options_.resume_backend(tenant);
    exchange->reply(200, {{"tenant", tenant}, {"was_paused", was_paused}});
  }
  void rotate_secret(const ExchangePtr& exchange) const {
    const auto secret = options_.accounts->rotate_webhook_secret(exchange->arguments[0]);
    if (!secret.ok()) return refuse(exchange, secret.error());
    exchange->reply(200, {{"webhook_secret", *secret}});
  }
  // {"owner": ..., "partners": [...]} of a domain, or of a tenant for all its domains.
  void partners(const ExchangePtr& exchange) const {
    const std::string& owner = exchange->arguments[0];
    const auto snapshot = accounts();
    const policy::Domain* domain = snapshot->domain(normal_domain(owner));
    const policy::Tenant* tenant = snapshot->tenant(owner);
    if (domain == nullptr && tenant == nullptr) return missing(exchange, "tenant or domain");
    exchange->reply(200, {{"owner", owner},
                          {"partners", domain == nullptr ? tenant->partners : domain->partners}});
  }
  void add_partner(const ExchangePtr& exchange) const {
    change_partner(exchange, &policy::AccountStore::add_partner);
  }
  void remove_partner(const ExchangePtr& exchange) const {
    change_partner(exchange, &policy::AccountStore::remove_partner);
  }
  void end_old_secrets(const ExchangePtr& exchange) const {
    const auto ended = options_.accounts->end_old_webhook_secrets(exchange->arguments[0]);
    if (!ended.ok()) return refuse(exchange, ended.error());
    exchange->reply(200, {{"tenant", exchange->arguments[0]}, {"ended", *ended}});
  }

 private:
  [[nodiscard]] policy::AccountsSnapshot accounts() const { return options_.accounts->snapshot(); }

  using ChangePartner = base::Result<bool> (policy::AccountStore::*)(std::string_view,
                                                                     std::string_view);
  void change_partner(const ExchangePtr& exchange, ChangePartner change) const {
    const auto changed =
        (options_.accounts->*change)(exchange->arguments[0], exchange->arguments[1]);
    if (!changed.ok()) return refuse(exchange, changed.error());
    partners(exchange);
  }

  using PausedBackends = std::map<std::string, PausedBackend>;
  [[nodiscard]] PausedBackends paused_backends() const {
    return options_.paused_backends ? options_.paused_backends() : PausedBackends();
  }
  static json row(const policy::Tenant& tenant, const PausedBackends& paused) {
    json row = backend_json(tenant);
    const auto at = paused.find(tenant.name);
    row["paused"] = at != paused.end();
    if (at == paused.end()) return row;
    row["reason"] = at->second.reason;
    row["paused_since"] = rfc3339(at->second.since_ms);
    row["next_probe"] = rfc3339(at->second.next_probe_ms);
    row["last_reply"] = at->second.last_reply;
    return row;
  }

  static void missing(const ExchangePtr& exchange, std::string_view what) {
    exchange->refuse(404, "there is no " + std::string(what) + " " + exchange->arguments[0]);
  }

  // Product rule D11: what is gone, and what is still queued for it.
  void removed(const ExchangePtr& exchange, const base::Result<policy::Removed>& gone,
               queue::Filter filter) const {
    if (!gone.ok()) return refuse(exchange, gone.error());
    filter.rows_max = 1;
    exchange->reply(
        200, {{"removed", to_json(*gone)}, {"still_queued", options_.store->list(filter).total}});
  }

  const AdminOptions& options_;
};

}  // namespace

void register_accounts(Router& router, const AdminOptions& options) {
  const auto api = std::make_shared<AccountsApi>(options);
  const auto route = [&](std::string_view method, std::string_view path,
                         void (AccountsApi::*handler)(const ExchangePtr&) const) {
    router.add(method, path,
               [api, handler](const ExchangePtr& exchange) { (*api.*handler)(exchange); });
  };
  route("POST", "/v1/apply", &AccountsApi::apply);
  route("GET", "/v1/tenants", &AccountsApi::tenants);
  route("GET", "/v1/tenants/*", &AccountsApi::tenant);
  route("DELETE", "/v1/tenants/*", &AccountsApi::remove_tenant);
  route("GET", "/v1/domains", &AccountsApi::domains);
  route("GET", "/v1/domains/*", &AccountsApi::domain);
  route("DELETE", "/v1/domains/*", &AccountsApi::remove_domain);
  route("GET", "/v1/addresses", &AccountsApi::addresses);
  route("GET", "/v1/addresses/*", &AccountsApi::address);
  route("DELETE", "/v1/addresses/*", &AccountsApi::remove_address);
  route("POST", "/v1/addresses/*/verification", &AccountsApi::set_verification);
  route("GET", "/v1/smarthosts", &AccountsApi::smarthosts);
  route("GET", "/v1/smarthosts/*", &AccountsApi::smarthost);
  route("DELETE", "/v1/smarthosts/*", &AccountsApi::remove_smarthost);
  route("POST", "/v1/smarthosts/*/unlock", &AccountsApi::unlock_smarthost);
  route("GET", "/v1/backends", &AccountsApi::backends);
  route("GET", "/v1/backends/*", &AccountsApi::backend);
  route("POST", "/v1/backends/*/rotate-secret", &AccountsApi::rotate_secret);
  route("POST", "/v1/backends/*/end-old-secret", &AccountsApi::end_old_secrets);
  route("POST", "/v1/backends/*/resume", &AccountsApi::resume_backend);
  route("GET", "/v1/partners/*", &AccountsApi::partners);
  route("POST", "/v1/partners/*/*", &AccountsApi::add_partner);
  route("DELETE", "/v1/partners/*/*", &AccountsApi::remove_partner);
}

}  // namespace admin
