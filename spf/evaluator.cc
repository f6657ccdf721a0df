#include "spf/evaluator.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "core/base/bytes.h"
#include "spf/domain_name.h"
#include "spf/record.h"
#include "spf/texts.h"

namespace spf {
namespace {

constexpr std::size_t kReasonOctetsMax = 400;

// A missing answer is kTempError here; Lookup::missing() tells it from the real one.
enum class Match { kNo, kYes, kTempError, kPermError };

Result result_of(Qualifier qualifier) {
  switch (qualifier) {
    case Qualifier::kPass:
      return Result::kPass;
    case Qualifier::kFail:
      return Result::kFail;
    case Qualifier::kSoftFail:
      return Result::kSoftFail;
    case Qualifier::kNeutral:
      return Result::kNeutral;
  }
  return Result::kNeutral;
}

Result error_of(Match match) {
  return match == Match::kPermError ? Result::kPermError : Result::kTempError;
}

class Evaluator {
 public:
  Evaluator(MacroFacts facts, Lookup& lookup)
      : facts_(std::move(facts)), lookup_(lookup), trace_(lookup.trace()) {}

  Finding run() {
    Finding finding;
    finding.result = check(std::string(facts_.domain));
    finding.reason = base::printable(reason_, kReasonOctetsMax);
    if (finding.result == Result::kFail) {
      finding.explanation = explanation_;
      finding.explanation_domain = explanation_domain_;
    }
    return finding;
  }

 private:
  Result check(const std::string& domain);
  Result redirect(const Record& record);
  Match matches(const Mechanism& mechanism);
  Match report(const Mechanism& mechanism, Match match, std::string_view why = {});
  Match include(const Mechanism& mechanism, const Target& target);
  Match matches_target(const Mechanism& mechanism, const std::string& target);
  Match matches_exchanger(const Mechanism& mechanism, const std::string& target);
  Match matches_client_name(const std::string& target);
  [[nodiscard]] bool has_client(const std::vector<std::string>& addresses,
                                const Mechanism& mechanism) const;
  void decide(const Mechanism& mechanism, const Record& record);
  Match stopped();
  Match temporary();

  MacroFacts facts_;
  Lookup& lookup_;
  Trace& trace_;
  std::string reason_;  // of the last match, error or missing record
  std::string_view explanation_;
  std::string explanation_domain_;
};

// RFC 7208 4.4 to 4.7 for one domain.
Result Evaluator::check(const std::string& domain) {
  facts_.domain = domain;
  const Fetched fetched = fetch_record(lookup_, domain);
  if (!fetched.record) {
    if (fetched.reason.empty()) return error_of(stopped());
    reason_ = fetched.reason;
    return fetched.error;
  }
  const Record& record = *fetched.record;
  for (const Mechanism& mechanism : record.mechanisms) {
    const Match match = matches(mechanism);
    if (match == Match::kNo) continue;
    if (match != Match::kYes) return error_of(match);
    decide(mechanism, record);
    return result_of(mechanism.qualifier);
  }
  if (!record.redirect.empty()) return redirect(record);
  reason_ = "no term of " + domain + " matches " + facts_.ip;
  trace_.line(domain, "no term matches, neutral");
  return Result::kNeutral;
}

// `facts_.domain` is the record's domain again.
void Evaluator::decide(const Mechanism& mechanism, const Record& record) {
  const std::string what =
      std::string(mechanism.text) + " of " + facts_.domain + " matches " + facts_.ip;
  reason_ = mechanism.kind == Kind::kInclude ? what + " (" + reason_ + ")" : what;
  explanation_ = record.explanation;
  explanation_domain_ = facts_.domain;
}

// RFC 7208 6.1.
Result Evaluator::redirect(const Record& record) {
  const std::string what = "redirect=" + std::string(record.redirect);
  const std::string from = facts_.domain;
  if (!lookup_.count_term()) {
    const Result error = error_of(stopped());
    trace_.line(what, reason_);
    return error;
  }
  const Target target = expand_target(record.redirect, facts_, lookup_);
  if (target.stop) return error_of(stopped());
  if (!target.name || !has_two_labels(*target.name)) {
    reason_ = from + ": " + what + " leads to no domain name";
    trace_.line(what, "leads to no domain name, permerror");
    return Result::kPermError;
  }
  trace_.line(what, "its record takes over");
  trace_.enter();
  const Result result = check(*target.name);
  trace_.leave();
  if (result != Result::kNone) return result;
  reason_ = from + ": " + what + " leads to a domain without an SPF record";
  return Result::kPermError;
}

// A limit is passed or an answer is missing.
Match Evaluator::stopped() {
  if (lookup_.exceeded().empty()) return Match::kTempError;
  reason_ = facts_.domain + ": " + lookup_.exceeded();
  return Match::kPermError;
}

Match Evaluator::temporary() {
  reason_ = facts_.domain + ": DNS does not answer: " + lookup_.failed();
  return Match::kTempError;
}

// The term's line of the trace.
Match Evaluator::report(const Mechanism& mechanism, Match match, std::string_view why) {
  if (!trace_.on()) return match;
  switch (match) {
    case Match::kNo:
      trace_.line(mechanism.text, why.empty() ? "no match" : why);
      break;
    case Match::kYes:
      trace_.line(mechanism.text, "match, " + std::string(name(result_of(mechanism.qualifier))));
      break;
    case Match::kTempError:
    case Match::kPermError:
      trace_.line(mechanism.text, lookup_.missing().empty() ? reason_ : "DNS is asked");
      break;
  }
  return match;
}

Match Evaluator::matches(const Mechanism& mechanism) {
  switch (mechanism.kind) {
    case Kind::kAll:
      return report(mechanism, Match::kYes);
    case Kind::kIp4:
    case Kind::kIp6: {
      const bool v6 = mechanism.kind == Kind::kIp6;
      const unsigned prefix = v6 ? mechanism.prefix_v6 : mechanism.prefix_v4;
      const bool within = is_within(facts_.client, mechanism.network, prefix);
      return report(mechanism, within ? Match::kYes : Match::kNo);
    }
    default:
      break;
  }
  if (!lookup_.count_term()) return report(mechanism, stopped());
  const Target target = expand_target(mechanism.domain_spec, facts_, lookup_);
  if (target.stop) return report(mechanism, stopped());
  if (target.never_matches) {
    return report(mechanism, Match::kNo, "the local part is not ASCII, no match");
  }
  if (mechanism.kind == Kind::kInclude) return report(mechanism, include(mechanism, target));
  // RFC 7208 4.8 leaves it open; a name that cannot be there is not there.
  if (!target.name) return report(mechanism, Match::kNo, "no name that DNS can have, no match");
  return report(mechanism, matches_target(mechanism, *target.name));
}

// RFC 7208 5.2.
Match Evaluator::include(const Mechanism& mechanism, const Target& target) {
  const std::string domain = facts_.domain;
  if (!target.name || !has_two_labels(*target.name)) {
    // RFC 7208 4.3: check_host() gives none for it, and none is an error of the include.
    reason_ = domain + ": " + std::string(mechanism.text) + " leads to no domain name";
    return Match::kPermError;
  }
  trace_.line(mechanism.text, "its record is asked");
  trace_.enter();
  const Result result = check(*target.name);
  trace_.leave();
  facts_.domain = domain;
  if (trace_.on()) trace_.note("gives " + std::string(name(result)));
  switch (result) {
    case Result::kPass:
      return Match::kYes;
    case Result::kFail:
    case Result::kSoftFail:
    case Result::kNeutral:
      return Match::kNo;
    case Result::kTempError:
      return Match::kTempError;
    case Result::kPermError:
      return Match::kPermError;
    case Result::kNone:
      break;
  }
  reason_ =
      domain + ": " + std::string(mechanism.text) + " leads to a domain without an SPF record";
  return Match::kPermError;
}

Match Evaluator::matches_target(const Mechanism& mechanism, const std::string& target) {
  if (mechanism.kind == Kind::kMx) return matches_exchanger(mechanism, target);
  if (mechanism.kind == Kind::kPtr) return matches_client_name(target);
  const bool exists = mechanism.kind == Kind::kExists;
  // RFC 7208 5.7: `exists` asks for A whatever the client's family is.
  const auto type = exists ? dns::Type::kA : lookup_.address_type();
  const Lookup::Found found = lookup_.ask_for_term(target, type);
  switch (found.state) {
    case Lookup::State::kStop:
      return stopped();
    case Lookup::State::kTemporary:
      return temporary();
    case Lookup::State::kVoid:
      return Match::kNo;
    case Lookup::State::kFound:
      break;
  }
  return exists || has_client(*found.records, mechanism) ? Match::kYes : Match::kNo;
}

bool Evaluator::has_client(const std::vector<std::string>& addresses,
                           const Mechanism& mechanism) const {
  const Address& client = facts_.client;
  return std::any_of(addresses.begin(), addresses.end(), [&](const std::string& text) {
    const auto address = client.v6 ? parse_v6(text) : parse_v4(text);
    return address &&
           is_within(client, *address, client.v6 ? mechanism.prefix_v6 : mechanism.prefix_v4);
  });
}

// RFC 7208 5.4.
Match Evaluator::matches_exchanger(const Mechanism& mechanism, const std::string& target) {
  const Lookup::Hosts hosts = lookup_.exchangers(target);
  if (hosts.state == Lookup::State::kStop) return stopped();
  if (hosts.state == Lookup::State::kTemporary) return temporary();
  for (const std::string& host : hosts.names) {
    const Lookup::Found found = lookup_.addresses(host);
    if (found.state == Lookup::State::kStop) return stopped();
    if (found.state == Lookup::State::kTemporary) return temporary();
    if (found.state == Lookup::State::kFound && has_client(*found.records, mechanism)) {
      return Match::kYes;
    }
  }
  return Match::kNo;
}

// RFC 7208 5.5.
Match Evaluator::matches_client_name(const std::string& target) {
  const Lookup::Hosts hosts = lookup_.client_names();
  if (hosts.state == Lookup::State::kVoid && !lookup_.count_void()) return stopped();
  const auto validated = lookup_.validated(hosts);
  if (!validated) return stopped();
  const bool match = std::any_of(validated->begin(), validated->end(),
                                 [&](const auto& name) { return is_at_or_below(name, target); });
  return match ? Match::kYes : Match::kNo;
}

}  // namespace

Finding check_host(MacroFacts facts, Lookup& lookup) {
  return Evaluator(std::move(facts), lookup).run();
}

}  // namespace spf
