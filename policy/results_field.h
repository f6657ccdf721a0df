// Reading Authentication-Results (RFC 8601 2.2) that others wrote: the organisation's own server
// (product rule A3) or, behind its "i=N;", the payload of an ARC-Authentication-Results field (RFC
// 8617 4.1.1). Pure; the text comes from outside, so everything is bounded.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace policy {

struct MethodResult {
  std::string method;  // "spf", "dkim", "dmarc", ...: lower case, without its version
  std::string result;  // lower case
  // "header.d" -> value: names in lower case, values without quotes, comments gone. "reason" is
  // among them.
  std::vector<std::pair<std::string, std::string>> properties;

  // "" where it is not there.
  [[nodiscard]] std::string_view property(std::string_view name) const;
};

struct ResultsField {
  std::string authserv_id;  // lower case, no trailing dot; "" where a payload has none
  std::vector<MethodResult> methods;
};

// nullopt where the field is malformed: half-understood results prove nothing.
std::optional<ResultsField> parse_results_field(std::string_view body);

// Just the authserv-id, lower case, no trailing dot, also of a field whose rest is malformed;
// nullopt where the field does not begin with one.
std::optional<std::string> authserv_id_of(std::string_view body);

}  // namespace policy
