// Records of the accounts as JSON. Never a secret: no password, no digest, no sealed value. Pure.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "policy/account_store.h"

namespace admin {

std::string rfc3339(std::int64_t wall_ms);  // "2026-01-31T12:00:00.000Z"

nlohmann::json to_json(const policy::Applied& applied);
nlohmann::json to_json(const policy::NewCredential& credential);  // with the password, once
nlohmann::json to_json(const policy::Removed& removed);
nlohmann::json to_json(const policy::Credential& credential);
nlohmann::json to_json(const policy::Smarthost& smarthost);
// Whether a smarthost's account is locked, why, and when it is tried next.
nlohmann::json lock_json(const std::optional<policy::SmarthostLock>& lock);
nlohmann::json to_json(const policy::SupportAddress& address, const policy::Domain& domain);
nlohmann::json to_json(const policy::Domain& domain);
nlohmann::json to_json(const policy::Tenant& tenant);
nlohmann::json backend_json(const policy::Tenant& tenant);
nlohmann::json dkim_json(const policy::Domain& domain, const policy::DkimKey& key);

}  // namespace admin
