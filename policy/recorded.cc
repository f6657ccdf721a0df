#include "policy/recorded.h"

#include <algorithm>
#include <map>

#include "core/base/bytes.h"
#include "core/mail/address.h"

namespace policy {
namespace {

constexpr std::size_t kFieldsMax = 20;      // of one message; a server writes one a milter
constexpr std::size_t kSignaturesMax = 20;  // of one record

bool is_in(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// The domain of a value that is one address, "@domain" or a domain; "" where it is none.
std::string domain_of(std::string_view value) {
  const auto at = value.find('@');
  const bool single = at == std::string_view::npos || value.find('@', at + 1) == std::string::npos;
  if (!single || value.find_first_of("<>,;:() \t") != std::string_view::npos) return {};
  auto domain = mail::normalize_domain(at == std::string_view::npos ? value : value.substr(at + 1));
  return domain.ok() ? domain.take() : std::string();
}

// RFC 9989 4.4.2: DMARC asks for the MAIL FROM identity. The HELO name stands in for it where the
// sender is null (RFC 7208 2.4), and only where no result of the record speaks of a sender.
std::optional<spf::Verdict> recorded_spf(const std::vector<MethodResult>& methods,
                                         bool null_sender) {
  std::string domain;
  for (const MethodResult& method : methods) {
    if (method.method != "spf") continue;
    const std::string_view sender = method.property("smtp.mailfrom");
    if (!sender.empty()) {
      if (method.result != "pass") return std::nullopt;
      domain = domain_of(sender);
      break;
    }
    if (null_sender && method.result == "pass" && domain.empty()) {
      domain = domain_of(method.property("smtp.helo"));
    }
  }
  if (domain.empty()) return std::nullopt;
  return spf::Verdict{spf::Result::kPass, std::move(domain), "", "recorded"};
}

std::optional<dkim::SignatureVerdict> recorded_dkim(const MethodResult& method) {
  if (method.method != "dkim" || method.result != "pass") return std::nullopt;
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

// What one server recorded of one message. Where it has a DMARC result that is no pass, it has seen
// its SPF and DKIM results with more than we can: they prove nothing then.
void add(Recorded& recorded, const std::vector<MethodResult>& methods, bool null_sender) {
  std::string dmarc;
  std::string dmarc_from;
  for (const MethodResult& method : methods) {
    if (method.method != "dmarc") continue;
    // Several authors, several results: not for us to choose.
    if (!dmarc.empty()) return;
    dmarc = base::printable(method.result, 20);
    dmarc_from = domain_of(method.property("header.from"));
  }
  // A pass is never outdone by what another server said of the same message on its way.
  if (recorded.dmarc != "pass" && !dmarc.empty()) {
    recorded.dmarc = dmarc;
    recorded.dmarc_from = dmarc_from;
  }
  if (!dmarc.empty() && dmarc != "pass" && dmarc != "none") return;
  if (!recorded.spf) recorded.spf = recorded_spf(methods, null_sender);
  for (const MethodResult& method : methods) {
    if (recorded.dkim.size() >= kSignaturesMax) return;
    if (auto verdict = recorded_dkim(method)) recorded.dkim.push_back(std::move(*verdict));
  }
}

}  // namespace

std::optional<Recorded> recorded_by_organisation(const mail::Headers& headers,
                                                 const std::vector<std::string>& authserv_ids,
                                                 bool null_sender) {
  if (authserv_ids.empty()) return std::nullopt;
  // A server may write a field for each method; of fields for one method the topmost is the last
  // one written: those below may be a stranger's that it did not remove (RFC 8601 5).
  std::map<std::string, std::vector<MethodResult>> by_server;
  std::vector<std::string> order;
  std::size_t seen = 0;
  for (const mail::HeaderField& field : headers.fields()) {
    if (!field.is("Authentication-Results") || ++seen > kFieldsMax) continue;
    const auto results = parse_results_field(field.body);
    if (!results || !is_in(authserv_ids, results->authserv_id)) continue;
    std::vector<MethodResult>& known = by_server[results->authserv_id];
    if (!is_in(order, results->authserv_id)) order.push_back(results->authserv_id);
    const std::size_t above = known.size();
    for (const MethodResult& method : results->methods) {
      const auto end = known.begin() + static_cast<std::ptrdiff_t>(above);
      const bool said = std::any_of(
          known.begin(), end, [&](const MethodResult& one) { return one.method == method.method; });
      if (!said) known.push_back(method);
    }
  }
  if (order.empty()) return std::nullopt;
  Recorded recorded;
  for (const std::string& server : order) add(recorded, by_server[server], null_sender);
  recorded.by = std::move(order);
  return recorded;
}

std::optional<Recorded> recorded_by_sealers(const dkim::ArcVerdict& arc,
                                            const std::vector<std::string>& trusted_sealers,
                                            bool null_sender) {
  // Behind l= octets anybody may have written anything since (RFC 6376 8.2).
  if (arc.result != dkim::ArcResult::kPass || arc.unsigned_octets > 0) return std::nullopt;
  Recorded recorded;
  for (auto set = arc.sets.rbegin(); set != arc.sets.rend(); ++set) {
    if (!is_in(trusted_sealers, set->sealer)) break;
    if (!is_in(recorded.by, set->sealer)) recorded.by.push_back(set->sealer);
    if (const auto results = parse_results_field(set->results)) {
      add(recorded, results->methods, null_sender);
    }
  }
  if (recorded.by.empty()) return std::nullopt;
  return recorded;
}

bool says_dmarc_pass(const Recorded& recorded, const std::string& from_domain) {
  return recorded.dmarc == "pass" && !from_domain.empty() && recorded.dmarc_from == from_domain;
}

}  // namespace policy
