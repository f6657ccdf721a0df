#include "spf/spf.h"

#include "core/base/bytes.h"
#include "spf/domain_name.h"
#include "spf/evaluator.h"
#include "spf/libspf2_engine.h"
#include "spf/lookup.h"
#include "spf/texts.h"
#include "spf/trace.h"

namespace spf {
namespace {

constexpr std::size_t kLocalOctetsMax = 64;  // RFC 5321 4.5.3.1.1
constexpr std::size_t kHeloOctetsMax = 255;  // RFC 5321 4.5.3.1.2

// What macros may show of a text from outside: no control characters, bounded.
std::string tame(std::string_view text, std::size_t octets_max) {
  std::string result(text.substr(0, octets_max));
  for (char& c : result) {
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = '?';
  }
  return result;
}

// All but the domain and the client.
MacroFacts facts_of(const Request& request) {
  MacroFacts facts;
  facts.helo = tame(request.helo, kHeloOctetsMax);
  facts.receiver = tame(request.receiver.empty() ? "unknown" : request.receiver, kHeloOctetsMax);
  facts.validated = "unknown";
  facts.wall_s = request.wall_s;
  facts.local = "postmaster";  // RFC 7208 2.4, 4.3
  const std::string_view from = request.mail_from;
  const auto at = from.rfind('@');
  if (at != std::string_view::npos && at > 0)
    facts.local = tame(from.substr(0, at), kLocalOctetsMax);
  return facts;
}

// RFC 7208 2.4: for the null sender it is the HELO name.
std::string_view domain_of(const Request& request) {
  const std::string_view from = request.mail_from;
  return from.empty() ? std::string_view(request.helo) : from.substr(from.rfind('@') + 1);
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

Outcome evaluate(const Request& request, const dns::Answers& answers, const base::Limits& limits,
                 Engine engine, std::vector<std::string>* steps) {
  Trace trace(steps);
  const auto decided = [&](Result result, std::string domain, std::string reason,
                           std::string explanation = {}) {
    if (trace.on()) trace.line("result", std::string(name(result)) + ", " + reason);
    return Outcome{Verdict{result, std::move(domain), std::move(explanation), std::move(reason)},
                   {}};
  };

  MacroFacts facts = facts_of(request);
  const std::string_view identity = domain_of(request);
  if (trace.on()) {
    trace.line(request.mail_from.empty() ? "HELO" : "MAIL FROM",
               facts.local + "@" + std::string(identity) + " from " + request.ip);
  }
  const auto domain = checkable_domain(identity);
  if (!domain) {
    return decided(Result::kNone, base::printable(identity),
                   request.mail_from.empty() ? "the HELO name is no domain name to check"
                                             : "the sender has no domain name to check");
  }
  const auto client = parse_client(request.ip);
  if (!client) return decided(Result::kNone, *domain, "the client's address is not known");
  facts.client = *client;
  facts.ip = text_of(*client);
  facts.sender_domain = *domain;
  facts.domain = *domain;

  Lookup lookup(answers, limits, *client, trace);
  Finding finding =
      engine == Engine::kNative ? check_host(facts, lookup) : check_host_libspf2(facts, lookup);
  std::string explanation;
  if (lookup.missing().empty() && !finding.explanation.empty()) {
    facts.domain = finding.explanation_domain;
    explanation = fetch_explanation(finding.explanation, facts, lookup);
  }
  // Past a limit nothing that is missing could change the verdict.
  if (!lookup.missing().empty() && lookup.exceeded().empty()) {
    return {std::nullopt, lookup.missing()};
  }
  return decided(finding.result, *domain, std::move(finding.reason), std::move(explanation));
}

}  // namespace spf
