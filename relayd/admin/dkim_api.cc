// DKIM keys of a domain: make, list, look whether DNS has them, sign with them, remove.
#include <utility>

#include "core/base/bytes.h"
#include "relayd/admin/accounts_json.h"
#include "relayd/admin/api.h"
#include "relayd/admin/api_support.h"

namespace admin {
namespace {

using nlohmann::json;

// The p= of a key record (RFC 6376 3.6.1), without the white space people fold it with.
std::string public_key(std::string_view record) {
  for (const std::string_view tag : base::parts(record, ';')) {
    const std::size_t equals = tag.find('=');
    if (equals == std::string_view::npos || base::trim(tag.substr(0, equals)) != "p") continue;
    std::string value;
    for (const char c : tag.substr(equals + 1)) {
      if (c != ' ' && c != '\t' && c != '\r' && c != '\n') value.push_back(c);
    }
    return value;
  }
  return "";
}

std::string why_not_published(const policy::AccountStore::DnsRecord& wanted,
                              const dns::Answer& answer) {
  const std::string publish = "; publish it: " + wanted.name + " TXT \"" + wanted.value +
                              "\", or use --force to sign without looking";
  if (answer.temporary()) return "DNS did not answer for " + wanted.name + publish;
  if (answer.records.empty()) return "DNS has no TXT record at " + wanted.name + publish;
  for (const std::string& record : answer.records) {
    if (public_key(record) == public_key(wanted.value)) return "";
  }
  return "the TXT record at " + wanted.name + " has another key" + publish;
}

class DkimApi {
 public:
  explicit DkimApi(const AdminOptions& options) : options_(options) {}

  void list(const ExchangePtr& exchange) const {
    const auto accounts = options_.accounts->snapshot();
    json rows = json::array();
    for (const auto& [tenant_name, tenant] : accounts->tenants()) {
      for (const auto& [domain_name, domain] : tenant.domains) add(domain, rows);
    }
    exchange->reply(200, {{"keys", std::move(rows)}});
  }
  void list_domain(const ExchangePtr& exchange) const {
    const auto accounts = options_.accounts->snapshot();
    const policy::Domain* domain = find_domain(*accounts, exchange);
    if (domain == nullptr) return;
    json rows = json::array();
    add(*domain, rows);
    exchange->reply(200, {{"keys", std::move(rows)}});
  }
  void show(const ExchangePtr& exchange) const {
    const auto accounts = options_.accounts->snapshot();
    const policy::Domain* domain = find_domain(*accounts, exchange);
    if (domain == nullptr) return;
    if (const policy::DkimKey* key = find_key(*domain, exchange)) {
      exchange->reply(200, dkim_json(*domain, *key));
    }
  }

  void make(const ExchangePtr& exchange) const {
    const auto body = body_object(exchange);
    if (!body) return;
    const std::string selector = body->value("selector", "");
    const auto algorithm = dkim::parse_algorithm(body->value("algorithm", "rsa-sha256"));
    if (!algorithm.ok()) return exchange->refuse(400, "algorithm: " + algorithm.message());
    const auto record =
        options_.accounts->add_dkim_key(exchange->arguments[0], selector, *algorithm);
    if (!record.ok()) return refuse(exchange, record.error());
    exchange->reply(200,
                    {{"name", record->name}, {"type", record->type}, {"value", record->value}});
  }

  void activate(const ExchangePtr& exchange) const {
    const auto body = body_object(exchange);
    if (!body) return;
    const bool force = body->value("force", false);
    const auto accounts = options_.accounts->snapshot();
    const policy::Domain* domain = find_domain(*accounts, exchange);
    if (domain == nullptr) return;
    const policy::DkimKey* key = find_key(*domain, exchange);
    if (key == nullptr) return;
    if (force) return finish_activation(options_, exchange);
    const auto record = policy::AccountStore::dns_record(domain->name, *key);
    options_.resolver->query(
        {base::ascii_lower(record.name), dns::Type::kTxt},
        // A server that has gone has abandoned the exchange, so `options_` is not touched then.
        [&options = options_, exchange, record](const dns::Question&, const dns::Answer& answer) {
          if (exchange->answered()) return;
          const std::string why = why_not_published(record, answer);
          if (!why.empty()) return exchange->refuse(409, why);
          finish_activation(options, exchange);
        });
  }

  void remove(const ExchangePtr& exchange) const {
    const auto status =
        options_.accounts->remove_dkim_key(exchange->arguments[0], exchange->arguments[1]);
    if (!status.ok()) return refuse(exchange, status.error());
    exchange->reply(200, {{"removed", exchange->arguments[1]}});
  }

 private:
  static void add(const policy::Domain& domain, json& rows) {
    for (const auto& [selector, key] : domain.dkim_keys) rows.push_back(dkim_json(domain, key));
  }
  static const policy::Domain* find_domain(const policy::Accounts& accounts,
                                           const ExchangePtr& exchange) {
    const auto* domain = accounts.domain(normal_domain(exchange->arguments[0]));
    if (domain == nullptr) exchange->refuse(404, "there is no domain " + exchange->arguments[0]);
    return domain;
  }
  static const policy::DkimKey* find_key(const policy::Domain& domain,
                                         const ExchangePtr& exchange) {
    const auto at = domain.dkim_keys.find(base::ascii_lower(exchange->arguments[1]));
    if (at != domain.dkim_keys.end()) return &at->second;
    exchange->refuse(404, "there is no DKIM key " + exchange->arguments[1] + " of " + domain.name);
    return nullptr;
  }
  static void finish_activation(const AdminOptions& options, const ExchangePtr& exchange) {
    const auto status =
        options.accounts->activate_dkim_key(exchange->arguments[0], exchange->arguments[1]);
    if (!status.ok()) return refuse(exchange, status.error());
    const auto accounts = options.accounts->snapshot();
    const policy::Domain* domain = find_domain(*accounts, exchange);
    if (domain == nullptr) return;
    if (const policy::DkimKey* key = find_key(*domain, exchange)) {
      exchange->reply(200, dkim_json(*domain, *key));
    }
  }

  const AdminOptions& options_;
};

}  // namespace

void register_dkim(Router& router, const AdminOptions& options) {
  const auto api = std::make_shared<DkimApi>(options);
  const auto route = [&](std::string_view method, std::string_view path,
                         void (DkimApi::*handler)(const ExchangePtr&) const) {
    router.add(method, path,
               [api, handler](const ExchangePtr& exchange) { (*api.*handler)(exchange); });
  };
  route("GET", "/v1/dkim", &DkimApi::list);
  route("GET", "/v1/dkim/*", &DkimApi::list_domain);
  route("POST", "/v1/dkim/*", &DkimApi::make);
  route("GET", "/v1/dkim/*/*", &DkimApi::show);
  route("DELETE", "/v1/dkim/*/*", &DkimApi::remove);
  route("POST", "/v1/dkim/*/*/activate", &DkimApi::activate);
}

}  // namespace admin
