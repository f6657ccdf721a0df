#include "policy/recorded.h"

#include <algorithm>

#include "core/base/bytes.h"
#include "core/mail/address.h"

namespace policy {
namespace {

constexpr std::size_t kFieldsMax = 20;      // of one message; a server writes one a milter
constexpr std::size_t kSignaturesMax = 20;  // of one record

bool is_in(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// The domain of a value that is an address, "@domain" or a domain; "" where it is none.
std::string domain_of(std::string_view value) {
  const auto at = value.rfind('@');
  auto domain = mail::normalize_domain(at == std::string_view::npos ? value : value.substr(at + 1));
  return domain.ok() ? domain.take() : std::string();
}

std::optional<spf::Verdict> recorded_spf(const MethodResult& method) {
  if (method.result != "pass") return std::nullopt;
  // RFC 9989 4.4.2: DMARC asks for the MAIL FROM identity; the HELO name stands in for it where the
  // sender is null (RFC 7208 2.4), and then no smtp.mailfrom is written.
  std::string domain = domain_of(method.property("smtp.mailfrom"));
  if (method.property("smtp.mailfrom").empty()) domain = domain_of(method.property("smtp.helo"));
  if (domain.empty()) return std::nullopt;
  return spf::Verdict{spf::Result::kPass, std::move(domain), "", "recorded"};
}

std::optional<dkim::SignatureVerdict> recorded_dkim(const MethodResult& method) {
  if (method.result != "pass") return std::nullopt;
  dkim::SignatureVerdict verdict;
  // RFC 8601 2.7.1: header.d, or only header.i, whose domain is at or below it.
  verdict.domain = domain_of(method.property("header.d"));
  if (verdict.domain.empty()) verdict.domain = domain_of(method.property("header.i"));
  if (verdict.domain.empty()) return std::nullopt;
  verdict.selector = base::printable(method.property("header.s"));
  verdict.algorithm = base::printable(method.property("header.a"));
  verdict.result = dkim::Result::kPass;
  verdict.reason = "recorded";
  return verdict;
}

void add(Recorded& recorded, const ResultsField& field) {
  for (const MethodResult& method : field.methods) {
    if (method.method == "spf" && !recorded.spf) recorded.spf = recorded_spf(method);
    if (method.method == "dkim" && recorded.dkim.size() < kSignaturesMax) {
      if (auto verdict = recorded_dkim(method)) recorded.dkim.push_back(std::move(*verdict));
    }
    // A pass is never outdone by what another server said of the same message on its way.
    if (method.method == "dmarc" && recorded.dmarc != "pass") {
      recorded.dmarc = base::printable(method.result, 20);
      recorded.dmarc_from = domain_of(method.property("header.from"));
    }
  }
}

}  // namespace

std::optional<Recorded> recorded_by_organisation(const mail::Headers& headers,
                                                 const std::vector<std::string>& authserv_ids) {
  if (authserv_ids.empty()) return std::nullopt;
  Recorded recorded;
  std::size_t seen = 0;
  for (const mail::HeaderField& field : headers.fields()) {
    if (!field.is("Authentication-Results") || ++seen > kFieldsMax) continue;
    const auto results = parse_results_field(field.body);
    if (!results || !is_in(authserv_ids, results->authserv_id)) continue;
    if (!is_in(recorded.by, results->authserv_id)) recorded.by.push_back(results->authserv_id);
    add(recorded, *results);
  }
  if (recorded.by.empty()) return std::nullopt;
  return recorded;
}

std::optional<Recorded> recorded_by_sealers(const dkim::ArcVerdict& arc,
                                            const std::vector<std::string>& trusted_sealers) {
  // Behind l= octets anybody may have written anything since (RFC 6376 8.2).
  if (arc.result != dkim::ArcResult::kPass || arc.unsigned_octets > 0) return std::nullopt;
  Recorded recorded;
  for (auto set = arc.sets.rbegin(); set != arc.sets.rend(); ++set) {
    if (!is_in(trusted_sealers, set->sealer)) break;
    if (!is_in(recorded.by, set->sealer)) recorded.by.push_back(set->sealer);
    if (const auto results = parse_results_field(set->results)) add(recorded, *results);
  }
  if (recorded.by.empty()) return std::nullopt;
  return recorded;
}

bool says_dmarc_pass(const Recorded& recorded, const std::string& from_domain) {
  return recorded.dmarc == "pass" && !from_domain.empty() && recorded.dmarc_from == from_domain;
}

}  // namespace policy
