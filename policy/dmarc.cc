#include "policy/dmarc.h"

#include <algorithm>
#include <cstdint>
#include <set>
#include <utility>

#include "core/base/bytes.h"
#include "core/mail/address.h"
#include "policy/dmarc_author.h"
#include "policy/dmarc_discovery.h"
#include "policy/public_suffix.h"

namespace policy {
namespace {

constexpr std::size_t kWalksMax = 10;  // of identifiers, beside the author domain's

// A domain that SPF or DKIM speaks of: proven, or undecided because DNS failed.
struct Identifier {
  std::string method;  // "SPF" or "DKIM", for people
  std::string domain;  // normalized
  bool strict = false;
};

enum class Alignment { kNo, kYes, kMissing, kTemporary };

// RFC 7489 6.6.4: the same message is always in or always out of the sample. The sender chooses
// these fields, but can win no more than the domain's owner gave away with pct.
bool is_sampled(const mail::Headers& headers, unsigned pct) {
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const std::string_view field : {"From", "Date", "Message-ID", "Subject"}) {
    for (const char c : headers.value(field).value_or("")) {
      hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    }
  }
  return hash % 100 < pct;
}

DmarcPolicy one_level_below(DmarcPolicy policy) {
  return policy == DmarcPolicy::kReject ? DmarcPolicy::kQuarantine : DmarcPolicy::kNone;
}

std::string_view last_labels(std::string_view name, std::size_t count) {
  std::size_t at = name.size();
  for (; count > 0 && at != std::string_view::npos && at > 0; --count) at = name.rfind('.', at - 1);
  return count > 0 || at == std::string_view::npos || at == 0 ? name : name.substr(at + 1);
}

// One replay.
class Evaluation {
 public:
  Evaluation(const mail::Headers& headers, std::string author, const dns::Answers& answers,
             DmarcProfile profile, std::vector<std::string>* steps)
      : headers_(headers),
        author_(std::move(author)),
        answers_(answers),
        profile_(profile),
        steps_(steps) {}

  DmarcOutcome run(const spf::Verdict& spf, const std::vector<dkim::SignatureVerdict>& dkim) {
    verdict_.from_domain = author_;
    verdict_.policy = name(DmarcPolicy::kNone);
    discovery_ = is_rfc9989() ? discover_rfc9989(author_, answers_, steps_)
                              : discover_rfc7489(author_, answers_, steps_);
    if (!discovery_.missing.empty()) return first_questions(spf, dkim);
    verdict_.organizational_domain = discovery_.organizational;
    if (discovery_.temporary) {
      return decided(DmarcResult::kTempError, "DNS did not answer for the DMARC record");
    }
    if (!discovery_.record) return decided(DmarcResult::kNone, "no DMARC record");
    if (!is_usable(*discovery_.record)) {
      return decided(DmarcResult::kNone,
                     "the DMARC record has no valid policy and asks for no reports");
    }
    verdict_.policy_domain = discovery_.record->domain;
    set_policy(*discovery_.record);
    align(spf, dkim);
    return conclude();
  }

 private:
  [[nodiscard]] bool is_rfc9989() const { return profile_ == DmarcProfile::kRfc9989; }

  void tell(std::string line) {
    if (steps_ != nullptr) steps_->push_back(std::move(line));
  }

  DmarcOutcome decided(DmarcResult result, std::string reason) {
    verdict_.result = result;
    verdict_.reason = std::move(reason);
    tell("DMARC " + std::string(name(result)) + ": " + verdict_.reason);
    return {std::move(verdict_), {}};
  }

  // ---- Questions -------------------------------------------------------------------------------

  // The walk of the author domain, and those of identifiers that will probably be compared with
  // it: nearly every organizational domain has two labels or more.
  DmarcOutcome first_questions(const spf::Verdict& spf,
                               const std::vector<dkim::SignatureVerdict>& dkim) {
    missing_.insert(discovery_.missing.begin(), discovery_.missing.end());
    if (is_rfc9989()) {
      for (const Identifier& identifier : identifiers(spf, dkim, false)) {
        if (identifier.domain != author_ &&
            last_labels(identifier.domain, 2) == last_labels(author_, 2)) {
          ask_for_walk(identifier.domain);
        }
      }
    }
    return {std::nullopt, {missing_.begin(), missing_.end()}};
  }

  void ask_for_walk(const std::string& domain) {
    if (walked_.size() == kWalksMax || !walked_.insert(domain).second) return;
    const TreeWalk walk = walk_tree(domain, answers_);
    missing_.insert(walk.missing.begin(), walk.missing.end());
  }

  void ask(dns::Question question) {
    if (answers_.find(question) == nullptr) missing_.insert(std::move(question));
  }

  // ---- Policy ----------------------------------------------------------------------------------

  // RFC 9989 4.10.1, RFC 7489 6.6.3 step 6. A missing p is "none" by RFC 9989 4.7, an invalid one
  // by RFC 7489.
  [[nodiscard]] bool is_invalid(const DmarcRecord& record) const {
    if (record.invalid_p || record.invalid_sp) return true;
    return is_rfc9989() ? record.invalid_np : !record.p.has_value();
  }
  [[nodiscard]] bool is_usable(const DmarcRecord& record) const {
    return !is_invalid(record) || record.has_reports;
  }

  void set_policy(const DmarcRecord& record) {
    DmarcPolicy policy = published_policy(record);
    std::string line = "policy of " + record.domain + ": " + std::string(name(policy));
    const bool softer = is_rfc9989() ? record.testing : !is_sampled(headers_, record.pct);
    if (softer && policy != DmarcPolicy::kNone) {
      policy = one_level_below(policy);
      line += is_rfc9989() ? ", by t=y "
                           : ", outside the sample of pct=" + std::to_string(record.pct) + " ";
      line += name(policy);
    }
    verdict_.policy = name(policy);
    tell(std::move(line));
  }

  DmarcPolicy published_policy(const DmarcRecord& record) {
    if (is_invalid(record)) return DmarcPolicy::kNone;
    const DmarcPolicy own = record.p.value_or(DmarcPolicy::kNone);
    if (record.domain == author_) return own;
    const DmarcPolicy below = record.sp.value_or(own);
    if (!is_rfc9989() || !record.np || *record.np == below) return below;
    switch (existence()) {
      case Existence::kYes:
        return below;
      case Existence::kNo:
        return *record.np;
      case Existence::kUnknown:
        undecided_ = "DNS did not answer whether the From domain exists";
        return std::min(below, *record.np);
    }
    return below;
  }

  // RFC 9989 3.2.13, A.4: a name does not exist where DNS says NXDOMAIN for the name itself. For an
  // A query that may be said of what the name is an alias for (RFC 6604 3), for a CNAME query not.
  enum class Existence { kYes, kNo, kUnknown };
  Existence existence() {
    const dns::Question address{author_, dns::Type::kA};
    const dns::Question alias{author_, dns::Type::kCname};
    for (const dns::Question& question : {address, alias}) {
      const dns::Answer* answer = answers_.find(question);
      if (answer != nullptr &&
          (answer->status == dns::Status::kOk || answer->status == dns::Status::kNoData)) {
        return Existence::kYes;
      }
    }
    ask(address);
    ask(alias);
    const dns::Answer* answer = answers_.find(alias);
    return answer != nullptr && answer->status == dns::Status::kNxDomain ? Existence::kNo
                                                                         : Existence::kUnknown;
  }

  // ---- Alignment -------------------------------------------------------------------------------

  // What passed, or (`undecided`) what ended in a temporary error; each domain once a method. SPF
  // comes first, so that no flood of signatures can use up its walk.
  std::vector<Identifier> identifiers(const spf::Verdict& spf,
                                      const std::vector<dkim::SignatureVerdict>& dkim,
                                      bool undecided) const {
    std::vector<Identifier> list;
    const auto add = [&](const char* method, std::string_view domain, bool strict) {
      auto normal = mail::normalize_domain(domain);
      if (!normal.ok()) return;
      const bool known = std::any_of(list.begin(), list.end(), [&](const Identifier& one) {
        return one.method == method && one.domain == *normal;
      });
      if (!known) list.push_back({method, normal.take(), strict});
    };
    const DmarcRecord record = discovery_.record.value_or(DmarcRecord{});
    if (spf.result == (undecided ? spf::Result::kTempError : spf::Result::kPass)) {
      add("SPF", spf.domain, record.strict_spf);
    }
    for (const dkim::SignatureVerdict& signature : dkim) {
      if (signature.result == (undecided ? dkim::Result::kTempError : dkim::Result::kPass)) {
        add("DKIM", signature.domain, record.strict_dkim);
      }
    }
    return list;
  }

  void align(const spf::Verdict& spf, const std::vector<dkim::SignatureVerdict>& dkim) {
    auto passed = identifiers(spf, dkim, false);
    // What is equal aligns without a walk, and saves those of other signatures.
    std::stable_partition(passed.begin(), passed.end(),
                          [&](const Identifier& one) { return one.domain == author_; });
    for (const Identifier& identifier : passed) {
      const bool is_spf = identifier.method == "SPF";
      const Alignment alignment = align(identifier, "pass");
      const bool aligned = alignment == Alignment::kYes;
      if (aligned && is_spf) verdict_.spf_aligned = true;
      if (aligned && !is_spf) {
        verdict_.dkim_aligned = true;
        verdict_.aligned_signers.push_back(identifier.domain);
      }
      if (aligned && proof_.empty()) proof_ = identifier.method + " for " + identifier.domain;
      if (alignment == Alignment::kTemporary) {
        undecided_ = "DNS did not answer whether " + identifier.domain + " aligns";
      }
    }
    if (!proof_.empty()) return;
    for (const Identifier& identifier : identifiers(spf, dkim, true)) {
      const Alignment alignment = align(identifier, "temperror");
      if (alignment == Alignment::kYes || alignment == Alignment::kTemporary) {
        undecided_ = identifier.method + " for " + identifier.domain + " had a temporary error";
      }
    }
  }

  Alignment align(const Identifier& identifier, std::string_view result) {
    std::string why;
    const Alignment alignment = compare(identifier, why);
    tell(identifier.method + " " + std::string(result) + " for " + identifier.domain +
         (alignment == Alignment::kYes ? ": aligned, " : ": not aligned, ") + why);
    return alignment;
  }

  // RFC 9989 4.4, 4.10.2: strict is equality, relaxed is one organizational domain.
  Alignment compare(const Identifier& identifier, std::string& why) {
    if (identifier.domain == author_) {
      why = "it is the From domain";
      return Alignment::kYes;
    }
    why = identifier.strict ? "strict alignment is asked for" : "another organizational domain";
    if (identifier.strict) return Alignment::kNo;
    const std::string& organization = discovery_.organizational;
    if (organization.empty()) {
      // Without even the top-level domain in common nothing aligns, whatever DNS would have said.
      if (last_labels(identifier.domain, 1) != last_labels(author_, 1)) return Alignment::kNo;
      why = "DNS did not answer for the organizational domain";
      return Alignment::kTemporary;
    }
    // One organization's names all lie below its domain: no walk for any other.
    if (!is_at_or_below(identifier.domain, organization)) return Alignment::kNo;
    return compare_organizations(identifier.domain, why);
  }

  Alignment compare_organizations(const std::string& domain, std::string& why) {
    std::string organization;
    if (is_rfc9989()) {
      if (walked_.size() == kWalksMax && !walked_.contains(domain)) {
        why = "too many domains to look at";
        return Alignment::kNo;
      }
      walked_.insert(domain);
      TreeWalk walk = walk_tree(domain, answers_);
      missing_.insert(walk.missing.begin(), walk.missing.end());
      if (!walk.missing.empty()) return Alignment::kMissing;
      if (walk.temporary) {
        why = "DNS did not answer for its organizational domain";
        return Alignment::kTemporary;
      }
      organization = std::move(walk.organizational);
    } else {
      organization = registrable_domain(domain);
    }
    const bool same = organization == discovery_.organizational;
    why = (same ? "of the same organizational domain " : "its organizational domain is ") +
          organization;
    return same ? Alignment::kYes : Alignment::kNo;
  }

  DmarcOutcome conclude() {
    if (!missing_.empty()) return {std::nullopt, {missing_.begin(), missing_.end()}};
    if (!proof_.empty()) return decided(DmarcResult::kPass, proof_ + " aligns");
    // RFC 9989 5.3.6: neither pass nor fail where a needed answer did not come.
    if (!undecided_.empty()) return decided(DmarcResult::kTempError, undecided_);
    return decided(DmarcResult::kFail, "neither SPF nor DKIM passed for the From domain");
  }

  const mail::Headers& headers_;
  std::string author_;
  const dns::Answers& answers_;
  DmarcProfile profile_;
  std::vector<std::string>* steps_;

  DmarcVerdict verdict_;
  Discovery discovery_;
  std::set<dns::Question> missing_;
  std::set<std::string> walked_;
  std::string proof_;      // which identifier aligned first
  std::string undecided_;  // what could have made it a pass, had DNS answered
};

}  // namespace

std::string_view name(DmarcResult result) {
  switch (result) {
    case DmarcResult::kNone:
      return "none";
    case DmarcResult::kPass:
      return "pass";
    case DmarcResult::kFail:
      return "fail";
    case DmarcResult::kTempError:
      return "temperror";
    case DmarcResult::kPermError:
      return "permerror";
  }
  return "none";
}

DmarcOutcome evaluate_dmarc(const mail::Headers& headers, const spf::Verdict& spf,
                            const std::vector<dkim::SignatureVerdict>& dkim,
                            const dns::Answers& answers, DmarcProfile profile,
                            std::vector<std::string>* steps) {
  if (steps != nullptr) steps->clear();
  DmarcAuthor author = dmarc_author(headers);
  if (author.domain.empty()) {
    DmarcVerdict verdict;
    verdict.policy = name(DmarcPolicy::kNone);
    verdict.reason = std::move(author.problem);
    if (steps != nullptr) steps->push_back("DMARC none: " + verdict.reason);
    return {std::move(verdict), {}};
  }
  return Evaluation(headers, std::move(author.domain), answers, profile, steps).run(spf, dkim);
}

}  // namespace policy
