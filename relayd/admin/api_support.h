// What the handlers of the admin API share.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/result.h"
#include "core/mail/address.h"
#include "relayd/admin/exchange.h"

namespace admin {

// 404 where the account store found nothing ("there is no ..."), 422 where it refused.
inline int status_of(const base::Error& error) {
  return error.message.starts_with("there is no ") ? 404 : 422;
}

inline void refuse(const ExchangePtr& exchange, const base::Error& error) {
  exchange->refuse(status_of(error), error.message);
}

// The request's body, an object; an empty body is an empty object. Otherwise 400 has been answered.
inline std::optional<nlohmann::json> body_object(const ExchangePtr& exchange) {
  if (exchange->body.empty()) return nlohmann::json::object();
  nlohmann::json document = nlohmann::json::parse(exchange->body, nullptr, false);
  if (document.is_object()) return document;
  exchange->refuse(400, "the body is no JSON object");
  return std::nullopt;
}

// As the accounts have them; what cannot be normalized is looked up as it is, and not found.
inline std::string normal_domain(const std::string& text) {
  auto normalized = mail::normalize_domain(text);
  return normalized.ok() ? normalized.take() : text;
}
inline std::string normal_address(const std::string& text) {
  const auto parsed = mail::parse_mailbox(text);
  if (!parsed.ok()) return text;
  auto normalized = mail::normalize_address(*parsed);
  return normalized.ok() ? normalized.take() : text;
}

inline std::string query_value(const Exchange& exchange, const std::string& key) {
  const auto at = exchange.query.find(key);
  return at == exchange.query.end() ? std::string() : at->second;
}

}  // namespace admin
