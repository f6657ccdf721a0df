#include "policy/account_codec.h"

#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "core/base/bytes.h"

namespace policy {
namespace {

using nlohmann::json;

// Damage is found deep inside; decode_tenant() turns it into an Error, nothing else sees it.
class Damage : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

std::string from_base64(const json& value) {
  auto bytes = base::base64_decode(value.get_ref<const std::string&>());
  if (!bytes) throw Damage("a sealed value is not base64");
  return std::move(*bytes);
}

template <typename E>
E known(std::optional<E> value, const json& text) {
  if (!value) throw Damage("unknown word " + text.dump());
  return *value;
}

std::string_view word(const json& value) { return value.get_ref<const std::string&>(); }

json encode(const Smarthost& smarthost) {
  return {{"host", smarthost.host},
          {"port", smarthost.port},
          {"tls", name(smarthost.tls)},
          {"username", smarthost.username},
          {"sealed_password", base::base64_encode(smarthost.sealed_password)},
          {"reconnect_interval_ms", smarthost.reconnect_interval_ms},
          {"connections", smarthost.connections},
          {"more_hosts", smarthost.more_hosts},
          {"messages_per_minute", smarthost.messages_per_minute},
          {"messages_per_day", smarthost.messages_per_day},
          {"recipients_per_day", smarthost.recipients_per_day},
          {"preset", smarthost.preset}};
}

Smarthost decode_smarthost(const json& record) {
  Smarthost smarthost;
  smarthost.host = record.at("host");
  smarthost.port = record.at("port");
  smarthost.tls = known(parse_smarthost_tls(word(record.at("tls"))), record.at("tls"));
  smarthost.username = record.at("username");
  smarthost.sealed_password = from_base64(record.at("sealed_password"));
  smarthost.reconnect_interval_ms = record.at("reconnect_interval_ms");
  smarthost.connections = record.at("connections");
  // Absent in records of versions before they were there.
  smarthost.more_hosts = record.value("more_hosts", std::vector<std::string>());
  smarthost.messages_per_minute = record.value("messages_per_minute", 0U);
  smarthost.messages_per_day = record.value("messages_per_day", 0U);
  smarthost.recipients_per_day = record.value("recipients_per_day", 0U);
  smarthost.preset = record.value("preset", "");
  return smarthost;
}

json encode(const std::vector<Credential>& credentials) {
  json rows = json::array();
  for (const Credential& credential : credentials) {
    rows.push_back({{"id", credential.id},
                    {"username", credential.username},
                    {"digest", credential.digest},
                    {"created_ms", credential.created_ms}});
  }
  return rows;
}

std::vector<Credential> decode_credentials(const json& rows, const std::string& tenant,
                                           const std::string& domain) {
  std::vector<Credential> credentials;
  for (const json& row : rows) {
    Credential credential;
    credential.id = row.at("id");
    credential.username = row.at("username");
    credential.digest = row.at("digest");
    credential.created_ms = row.at("created_ms");
    credential.tenant = tenant;
    credential.domain = domain;
    credentials.push_back(std::move(credential));
  }
  return credentials;
}

json encode(const Domain& domain) {
  json record = {{"mode", name(domain.mode)},
                 {"inbound", name(domain.inbound)},
                 {"trusted_authserv_ids", domain.trusted_authserv_ids},
                 {"partners", domain.partners},
                 {"credentials", encode(domain.credentials)},
                 {"addresses", json::object()},
                 {"dkim_keys", json::object()}};
  if (domain.smarthost) record["smarthost"] = encode(*domain.smarthost);
  for (const auto& [text, address] : domain.addresses) {
    json& row = record["addresses"][text];
    row["verification"] = name(address.verification);
    if (address.smarthost) row["smarthost"] = encode(*address.smarthost);
  }
  for (const auto& [selector, key] : domain.dkim_keys) {
    record["dkim_keys"][selector] = {{"sealed_key", base::base64_encode(key.sealed_key)},
                                     {"active", key.active}};
  }
  return record;
}

DkimKey decode_dkim_key(const json& row, const std::string& domain, const std::string& selector,
                        const certs::Sealer& sealer) {
  DkimKey key;
  key.selector = selector;
  key.sealed_key = from_base64(row.at("sealed_key"));
  key.active = row.at("active");
  const std::string who = "DKIM key " + selector + " of domain " + domain;
  auto pem = sealer.unseal(key.sealed_key, "dkim/" + domain + "/" + selector);
  if (!pem.ok()) throw Damage(who + ": " + pem.message());
  auto parsed = dkim::SigningKey::from_pem(*pem);
  if (!parsed.ok()) throw Damage(who + ": " + parsed.message());
  key.key = parsed.take();
  return key;
}

Domain decode_domain(const std::string& tenant, const std::string& domain_name, const json& record,
                     const certs::Sealer& sealer) {
  Domain domain;
  domain.name = domain_name;
  domain.tenant = tenant;
  domain.mode = known(parse_mode(word(record.at("mode"))), record.at("mode"));
  domain.inbound = known(parse_inbound_mode(word(record.at("inbound"))), record.at("inbound"));
  // Absent in records of versions before it was there.
  if (record.contains("trusted_authserv_ids")) {
    domain.trusted_authserv_ids = record.at("trusted_authserv_ids").get<std::vector<std::string>>();
  }
  domain.partners = record.value("partners", std::vector<std::string>());
  domain.credentials = decode_credentials(record.at("credentials"), tenant, domain_name);
  if (record.contains("smarthost")) domain.smarthost = decode_smarthost(record.at("smarthost"));
  for (const auto& [text, row] : record.at("addresses").items()) {
    SupportAddress address;
    address.address = text;
    address.domain = domain_name;
    address.verification =
        known(parse_verification(word(row.at("verification"))), row.at("verification"));
    if (row.contains("smarthost")) address.smarthost = decode_smarthost(row.at("smarthost"));
    domain.addresses.emplace(text, std::move(address));
  }
  for (const auto& [selector, row] : record.at("dkim_keys").items()) {
    domain.dkim_keys.emplace(selector, decode_dkim_key(row, domain_name, selector, sealer));
  }
  return domain;
}

}  // namespace

std::string encode_tenant(const Tenant& tenant, const certs::Sealer& sealer) {
  json record = {{"backend",
                  // A URL may carry user and password, so it is sealed like any other secret.
                  {{"sealed_url",
                    base::base64_encode(sealer.seal(tenant.backend.url, "backend/" + tenant.name))},
                   {"format", name(tenant.backend.format)},
                   {"sealed_webhook_secrets", json::array()}}},
                 {"credentials", encode(tenant.credentials)},
                 {"partners", tenant.partners},
                 {"domains", json::object()}};
  for (const std::string& sealed : tenant.backend.sealed_webhook_secrets) {
    record["backend"]["sealed_webhook_secrets"].push_back(base::base64_encode(sealed));
  }
  for (const auto& [domain_name, domain] : tenant.domains) {
    record["domains"][domain_name] = encode(domain);
  }
  return record.dump();
}

base::Result<Tenant> decode_tenant(std::string_view tenant_name, std::string_view text,
                                   const certs::Sealer& sealer) {
  Tenant tenant;
  tenant.name = tenant_name;
  try {
    const json record = json::parse(text);
    const json& backend = record.at("backend");
    auto url = sealer.unseal(from_base64(backend.at("sealed_url")), "backend/" + tenant.name);
    if (!url.ok()) throw Damage("URL of the back end: " + url.message());
    tenant.backend.url = url.take();
    tenant.backend.format =
        known(parse_ticket_format(word(backend.at("format"))), backend.at("format"));
    for (const json& sealed : backend.at("sealed_webhook_secrets")) {
      tenant.backend.sealed_webhook_secrets.push_back(from_base64(sealed));
    }
    tenant.partners = record.value("partners", std::vector<std::string>());
    tenant.credentials = decode_credentials(record.at("credentials"), tenant.name, "");
    for (const auto& [domain_name, domain] : record.at("domains").items()) {
      tenant.domains.emplace(domain_name, decode_domain(tenant.name, domain_name, domain, sealer));
    }
  } catch (const std::exception& damage) {
    return base::error("accounts: the record of tenant " + tenant.name +
                       " cannot be read: " + damage.what());
  }
  return tenant;
}

std::string encode_lock(const SmarthostAccount& account, const SmarthostLock& lock) {
  const json record = {{"tenant", account.tenant},
                       {"host", account.host},
                       {"username", account.username},
                       {"failures", lock.failures},
                       {"last_failure_ms", lock.last_failure_ms},
                       {"locked_ms", lock.locked_ms},
                       {"reply", lock.reply}};
  return record.dump(-1, ' ', false, json::error_handler_t::replace);
}

base::Result<std::pair<SmarthostAccount, SmarthostLock>> decode_lock(std::string_view text) {
  try {
    const json record = json::parse(text);
    return std::pair(
        SmarthostAccount{record.at("tenant"), record.at("host"), record.at("username")},
        SmarthostLock{record.at("failures"), record.at("last_failure_ms"), record.at("locked_ms"),
                      record.at("reply")});
  } catch (const std::exception& damage) {
    return base::error("accounts: the lock of a smarthost cannot be read: " +
                       std::string(damage.what()));
  }
}

}  // namespace policy
