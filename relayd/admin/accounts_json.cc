#include "relayd/admin/accounts_json.h"

#include <array>
#include <cstdio>
#include <ctime>

#include "core/base/units.h"

namespace admin {
namespace {

using nlohmann::json;

// A URL may carry user and password, or a token as the user; secrets are not for lists.
std::string without_password(const std::string& url) {
  const std::size_t start = url.find("://");
  if (start == std::string::npos) return url;
  const std::size_t authority_end = url.find_first_of("/?#", start + 3);
  const std::size_t at = url.rfind('@', authority_end);
  const std::size_t colon = url.find(':', start + 3);
  if (at == std::string::npos || at < start) return url;
  if (colon == std::string::npos || colon > at) {
    return url.substr(0, start + 3) + "***" + url.substr(at);
  }
  return url.substr(0, colon + 1) + "***" + url.substr(at);
}

json credentials_json(const std::vector<policy::Credential>& credentials) {
  json rows = json::array();
  for (const policy::Credential& credential : credentials) rows.push_back(to_json(credential));
  return rows;
}

}  // namespace

std::string rfc3339(std::int64_t wall_ms) {
  const std::time_t seconds = wall_ms / 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
                parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min,
                parts.tm_sec, static_cast<int>(wall_ms % 1000));
  return text.data();
}

json to_json(const policy::NewCredential& credential) {
  return {
      {"id", credential.id}, {"username", credential.username}, {"password", credential.password}};
}

json to_json(const policy::Applied& applied) {
  json tenants = json::array();
  for (const auto& part : applied.tenants) {
    json row = {{"name", part.name}};
    if (!part.webhook_secret.empty()) row["webhook_secret"] = part.webhook_secret;
    if (part.credential) row["credential"] = to_json(*part.credential);
    tenants.push_back(std::move(row));
  }
  json domains = json::array();
  for (const auto& part : applied.domains) {
    json row = {{"name", part.name}};
    if (part.credential) row["credential"] = to_json(*part.credential);
    domains.push_back(std::move(row));
  }
  return {{"tenants", std::move(tenants)}, {"domains", std::move(domains)}};
}

json to_json(const policy::Removed& removed) {
  return {{"domains", removed.domains},
          {"addresses", removed.addresses},
          {"smarthosts", removed.smarthosts},
          {"credentials", removed.credentials},
          {"dkim_keys", removed.dkim_keys}};
}

json to_json(const policy::Credential& credential) {
  json row = {{"id", credential.id},
              {"username", credential.username},
              {"direction", credential.is_inbound() ? "inbound" : "outbound"},
              {"tenant", credential.tenant},
              {"created", rfc3339(credential.created_ms)}};
  if (credential.is_inbound()) row["domain"] = credential.domain;
  return row;
}

json to_json(const policy::Smarthost& smarthost) {
  json row = {{"host", smarthost.host},
              {"port", smarthost.port},
              {"tls", policy::name(smarthost.tls)},
              {"username", smarthost.username},
              {"reconnect_interval", base::format_duration_ms(smarthost.reconnect_interval_ms)},
              {"connections", smarthost.connections},
              {"messages_per_minute", smarthost.messages_per_minute},
              {"messages_per_day", smarthost.messages_per_day},
              {"recipients_per_day", smarthost.recipients_per_day}};
  if (!smarthost.preset.empty()) row["preset"] = smarthost.preset;
  if (!smarthost.more_hosts.empty()) {
    row["hosts"] = smarthost.more_hosts;
    row["hosts"].insert(row["hosts"].begin(), smarthost.host);
  }
  return row;
}

json lock_json(const std::optional<policy::SmarthostLock>& lock) {
  json row = {{"locked", lock && lock->locked()}};
  if (!lock) return row;
  row["login_failures"] = lock->failures;
  row["last_failure"] = rfc3339(lock->last_failure_ms);
  row["last_reply"] = lock->reply;
  if (lock->locked()) {
    row["locked_since"] = rfc3339(lock->locked_ms);
    row["next_probe"] = rfc3339(lock->next_probe_ms());
  }
  return row;
}

json to_json(const policy::SupportAddress& address, const policy::Domain& domain) {
  json row = {{"address", address.address},
              {"domain", address.domain},
              {"tenant", domain.tenant},
              {"verification", policy::name(address.verification)}};
  if (address.smarthost) row["smarthost"] = to_json(*address.smarthost);
  return row;
}

json to_json(const policy::Domain& domain) {
  json row = {{"name", domain.name},
              {"tenant", domain.tenant},
              {"mode", policy::name(domain.mode)},
              {"inbound", policy::name(domain.inbound)},
              {"trusted_authserv_ids", domain.trusted_authserv_ids},
              {"partners", domain.partners},
              {"addresses", json::array()},
              {"credentials", credentials_json(domain.credentials)},
              {"dkim_keys", json::array()}};
  if (domain.smarthost) row["smarthost"] = to_json(*domain.smarthost);
  for (const auto& [text, address] : domain.addresses) row["addresses"].push_back(text);
  for (const auto& [selector, key] : domain.dkim_keys) {
    row["dkim_keys"].push_back({{"selector", selector}, {"active", key.active}});
  }
  return row;
}

json to_json(const policy::Tenant& tenant) {
  json row = {{"name", tenant.name},
              {"backend", backend_json(tenant)},
              {"credentials", credentials_json(tenant.credentials)},
              {"partners", tenant.partners},
              {"domains", json::array()}};
  for (const auto& [domain_name, domain] : tenant.domains) row["domains"].push_back(domain_name);
  return row;
}

json backend_json(const policy::Tenant& tenant) {
  return {{"tenant", tenant.name},
          {"url", without_password(tenant.backend.url)},
          {"format", policy::name(tenant.backend.format)},
          {"webhook_secrets", tenant.backend.sealed_webhook_secrets.size()}};
}

json dkim_json(const policy::Domain& domain, const policy::DkimKey& key) {
  const auto record = policy::AccountStore::dns_record(domain.name, key);
  return {{"domain", domain.name},
          {"selector", key.selector},
          {"algorithm", dkim::name(key.key->algorithm())},
          {"active", key.active},
          {"name", record.name},
          {"type", record.type},
          {"value", record.value}};
}

}  // namespace admin
