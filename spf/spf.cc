#include "spf/spf.h"

#include <arpa/inet.h>

#include <array>

#include "core/base/bytes.h"
#include "spf/domain_name.h"
#include "spf/engine.h"
#include "spf/lookup.h"

namespace spf {
namespace {

constexpr std::size_t kLocalOctetsMax = 64;  // RFC 5321 4.5.3.1.1
constexpr std::size_t kHeloOctetsMax = 255;  // RFC 5321 4.5.3.1.2

Outcome decided(Result result, std::string domain, std::string reason) {
  return {Verdict{result, std::move(domain), {}, std::move(reason)}, {}};
}

// What macros may show of a text from outside: visible ASCII, bounded.
std::string tame(std::string_view text, std::size_t octets_max) {
  std::string result(text.substr(0, octets_max));
  for (char& c : result) {
    if (c <= ' ' || c >= 0x7f) c = '?';
  }
  return result;
}

// Canonical text of an address; RFC 7208 5: a v4-mapped v6 address counts as v4.
bool set_address(const std::string& text, MacroFacts& request) {
  std::array<char, INET6_ADDRSTRLEN> buffer{};
  in_addr v4{};
  in6_addr v6{};
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) {
    request.ip = text;
    return true;
  }
  if (inet_pton(AF_INET6, text.c_str(), &v6) != 1) return false;
  if (IN6_IS_ADDR_V4MAPPED(&v6)) {
    inet_ntop(AF_INET, &v6.s6_addr[12], buffer.data(), buffer.size());
  } else {
    inet_ntop(AF_INET6, &v6, buffer.data(), buffer.size());
    request.v6 = true;
  }
  request.ip = buffer.data();
  return true;
}

}  // namespace

std::string_view name(Result result) {
  switch (result) {
    case Result::kNone:
      return "none";
    case Result::kNeutral:
      return "neutral";
    case Result::kPass:
      return "pass";
    case Result::kFail:
      return "fail";
    case Result::kSoftFail:
      return "softfail";
    case Result::kTempError:
      return "temperror";
    case Result::kPermError:
      return "permerror";
  }
  return "none";
}

Outcome evaluate(const Request& request, const dns::Answers& answers, const base::Limits& limits) {
  MacroFacts facts;
  facts.helo = tame(request.helo, kHeloOctetsMax);
  facts.receiver = tame(request.receiver.empty() ? "unknown" : request.receiver, kHeloOctetsMax);

  // RFC 7208 2.4: for the null sender it is postmaster at the HELO name.
  std::string_view domain = request.helo;
  facts.local = "postmaster";
  if (!request.mail_from.empty()) {
    const std::string_view from = request.mail_from;
    const auto at = from.rfind('@');
    domain = at == std::string_view::npos ? from : from.substr(at + 1);
    if (at != std::string_view::npos && at > 0) {
      facts.local = tame(from.substr(0, at), kLocalOctetsMax);
    }
  }
  const auto checked = checkable_domain(domain);
  if (!checked) {
    return decided(Result::kNone, base::printable(domain),
                   request.mail_from.empty() ? "the HELO name is no domain name to check"
                                             : "the sender has no domain name to check");
  }
  facts.domain = *checked;
  facts.sender_domain = *checked;
  if (!set_address(request.ip, facts)) {
    return decided(Result::kNone, facts.domain, "the client's address is not known");
  }

  Lookup lookup(answers, limits);
  EngineOutcome outcome = run_engine(facts, lookup);
  if (!lookup.missing().empty()) return {std::nullopt, lookup.missing()};
  if (!outcome.missing_explanation.empty()) {
    return {std::nullopt, std::move(outcome.missing_explanation)};
  }
  return {std::move(outcome.verdict), {}};
}

}  // namespace spf
