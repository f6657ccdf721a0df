#include "spf/texts.h"

#include <algorithm>
#include <vector>

#include "core/base/bytes.h"
#include "spf/domain_name.h"

namespace spf {
namespace {

constexpr std::size_t kExplanationOctetsMax = 512;  // RFC 5321 4.5.3.1.5: a reply line

// Of the client's validated names the domain itself, else one below it, else any (RFC 7208 7.3).
std::string best_name(const std::vector<std::string>& names, const std::string& domain) {
  if (std::find(names.begin(), names.end(), domain) != names.end()) return domain;
  for (const std::string& name : names) {
    if (is_at_or_below(name, domain)) return name;
  }
  return names.empty() ? "unknown" : names.front();
}

// False: stop.
bool fill_validated(MacroFacts& facts, Lookup& lookup) {
  const auto names = lookup.validated(lookup.client_names());
  if (!names) return false;
  facts.validated = best_name(*names, facts.domain);
  return true;
}

bool is_not_ascii(char c) { return static_cast<unsigned char>(c) >= 0x80; }

}  // namespace

Fetched fetch_record(Lookup& lookup, const std::string& domain) {
  const auto refuse = [&](Result error, const std::string& why) {
    lookup.trace().line(domain, why);
    return Fetched{std::nullopt, error, base::printable(domain) + ": " + why};
  };
  const Lookup::Found found = lookup.ask(domain, dns::Type::kTxt);
  if (found.state == Lookup::State::kStop) return {std::nullopt, Result::kTempError, {}};
  if (found.state == Lookup::State::kTemporary) {
    return refuse(Result::kTempError, "DNS does not answer: " + lookup.failed());
  }
  const std::string* text = nullptr;
  if (found.state == Lookup::State::kFound) {
    for (const std::string& txt : *found.records) {
      if (!is_spf_record(txt)) continue;
      if (text != nullptr) return refuse(Result::kPermError, "several SPF records (RFC 7208 4.5)");
      text = &txt;
    }
  }
  if (text == nullptr) return refuse(Result::kNone, "no SPF record");
  lookup.trace().line(domain, *text);
  auto record = parse_record(*text);
  if (!record.ok()) return refuse(Result::kPermError, record.message());
  return {record.take(), Result::kNone, {}};
}

Target expand_target(std::string_view domain_spec, MacroFacts& facts, Lookup& lookup) {
  Target target;
  if (domain_spec.empty()) {
    target.name = facts.domain;
    return target;
  }
  if (uses_validated_name(domain_spec)) {
    const bool counted = lookup.client_names_asked() || lookup.count_term();
    target.stop = !counted || !fill_validated(facts, lookup);
    if (target.stop) return target;
  }
  target.never_matches = uses_local_part(domain_spec) &&
                         std::any_of(facts.local.begin(), facts.local.end(), is_not_ascii);
  if (target.never_matches) return target;
  bool too_long = false;
  const std::string expanded = expand_macros(domain_spec, facts, &too_long);
  if (!too_long) target.name = target_name(expanded);
  return target;
}

std::string fetch_explanation(std::string_view domain_spec, MacroFacts& facts, Lookup& lookup) {
  const Target target = expand_target(domain_spec, facts, lookup);
  if (target.stop || !target.name) return {};
  const Lookup::Found found = lookup.ask(*target.name, dns::Type::kTxt);
  if (found.state != Lookup::State::kFound || found.records->size() != 1) return {};
  const std::string& text = found.records->front();
  if (!check_explanation(text).ok()) return {};
  if (uses_validated_name(text) && !fill_validated(facts, lookup)) return {};
  std::string explanation = expand_macros(text, facts).substr(0, kExplanationOctetsMax);
  for (char& c : explanation) {
    if (c < ' ' || c >= 0x7f) c = '?';
  }
  lookup.trace().line("exp=" + std::string(domain_spec), explanation);
  return explanation;
}

}  // namespace spf
