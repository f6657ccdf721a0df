#include "policy/dmarc.h"

#include <algorithm>
#include <set>

#include "core/base/bytes.h"
#include "core/mail/address.h"
#include "policy/dmarc_record.h"

namespace policy {
namespace {

constexpr std::size_t kDomainsWalkedMax = 10;  // of passing signatures

struct Author {
  std::string domain;
  std::string problem;
};

// RFC 9989 5.3.1: exactly one author domain, or DMARC cannot say anything.
Author author_domain(const mail::Headers& headers) {
  const std::size_t fields = headers.count("From");
  if (fields == 0) return {"", "there is no From field"};
  if (fields > 1) return {"", "there are several From fields"};
  const auto addresses = mail::parse_address_list(*headers.value("From"));
  if (!addresses.ok()) return {"", "the From field cannot be read: " + addresses.message()};
  if (addresses->empty()) return {"", "the From field has no address"};
  Author author;
  for (const mail::Address& address : *addresses) {
    auto domain = mail::normalize_domain(address.domain);
    if (address.is_literal() || !domain.ok()) return {"", "the From field has no domain name"};
    if (!author.domain.empty() && author.domain != *domain) {
      return {"", "the From field has addresses of several domains"};
    }
    author.domain = domain.take();
  }
  return author;
}

enum class Alignment { kNo, kYes, kMissing, kTemporary };

class Evaluation {
 public:
  Evaluation(std::string author, const dns::Answers& answers)
      : author_(std::move(author)), answers_(answers), walk_(walk_tree(author_, answers)) {}

  DmarcOutcome run(const spf::Verdict& spf, const std::vector<dkim::SignatureVerdict>& dkim) {
    DmarcVerdict verdict;
    verdict.from_domain = author_;
    verdict.policy = name(DmarcPolicy::kNone);
    if (!walk_.missing.empty()) return {std::nullopt, walk_.missing};
    if (walk_.temporary) {
      return decided(verdict, DmarcResult::kTempError, "DNS did not answer for the policy");
    }
    const DmarcRecord* record = applicable_record();
    if (record == nullptr) return decided(verdict, DmarcResult::kNone, "no DMARC record");
    verdict.policy_domain = record->domain;
    // RFC 9989 4.10.1: an invalid policy counts as "none" where reports are asked for, otherwise
    // the record is as good as none.
    if (record->invalid_policy && !record->has_reports) {
      return decided(verdict, DmarcResult::kNone, "the DMARC record has an invalid policy");
    }
    verdict.policy = name(applicable_policy(*record));

    const Alignment by_spf = spf.result == spf::Result::kPass
                                 ? alignment(spf.domain, record->strict_spf)
                                 : Alignment::kNo;
    Alignment by_dkim = Alignment::kNo;
    std::set<std::string> domains;
    for (const dkim::SignatureVerdict& signature : dkim) {
      if (signature.result != dkim::Result::kPass || domains.size() >= kDomainsWalkedMax) continue;
      if (!domains.insert(base::ascii_lower(signature.domain)).second) continue;
      by_dkim = std::max(by_dkim, alignment(signature.domain, record->strict_dkim), better);
    }
    if (!missing_.empty()) return {std::nullopt, {missing_.begin(), missing_.end()}};
    verdict.spf_aligned = by_spf == Alignment::kYes;
    verdict.dkim_aligned = by_dkim == Alignment::kYes;
    if (verdict.spf_aligned || verdict.dkim_aligned) {
      return decided(verdict, DmarcResult::kPass,
                     verdict.dkim_aligned ? "an aligned DKIM signature" : "an aligned SPF pass");
    }
    if (by_spf == Alignment::kTemporary || by_dkim == Alignment::kTemporary) {
      return decided(verdict, DmarcResult::kTempError, "DNS did not answer for the alignment");
    }
    return decided(verdict, DmarcResult::kFail, "neither SPF nor DKIM passed for the From domain");
  }

 private:
  static DmarcOutcome decided(DmarcVerdict verdict, DmarcResult result, std::string reason) {
    verdict.result = result;
    verdict.reason = std::move(reason);
    return {std::move(verdict), {}};
  }

  static bool better(Alignment a, Alignment b) {
    const auto rank = [](Alignment one) {
      switch (one) {
        case Alignment::kNo:
          return 0;
        case Alignment::kTemporary:
          return 1;
        case Alignment::kMissing:
          return 2;
        case Alignment::kYes:
          return 3;
      }
      return 0;
    };
    return rank(a) < rank(b);
  }

  // RFC 9989 4.10.1: the author domain's own record, the organizational domain's, the PSD's.
  [[nodiscard]] const DmarcRecord* applicable_record() const {
    const DmarcRecord* suffix = nullptr;
    const DmarcRecord* organization = nullptr;
    for (const DmarcRecord& record : walk_.records) {
      if (record.domain == author_) return &record;
      if (record.domain == walk_.organizational) organization = &record;
      if (record.psd == 'y') suffix = &record;
    }
    return organization != nullptr ? organization : suffix;
  }

  DmarcPolicy applicable_policy(const DmarcRecord& record) {
    if (record.invalid_policy) return DmarcPolicy::kNone;
    DmarcPolicy policy = record.p.value_or(DmarcPolicy::kNone);
    if (record.domain != author_) {
      const DmarcPolicy below = record.sp.value_or(policy);
      policy = record.np && *record.np != below && !author_exists() ? *record.np : below;
    }
    if (!record.testing) return policy;
    // RFC 9989 4.7 `t`: one step below what is asked for.
    return policy == DmarcPolicy::kReject ? DmarcPolicy::kQuarantine : DmarcPolicy::kNone;
  }

  // RFC 9989 3.2.9: a name does not exist where DNS says NXDOMAIN.
  bool author_exists() {
    // Were there no such domain, there would be nothing below it either.
    const dns::Answer* below = answers_.find(dmarc_question(author_));
    if (below != nullptr && below->status != dns::Status::kNxDomain) return true;
    const dns::Question question{author_, dns::Type::kA};
    const dns::Answer* answer = answers_.find(question);
    if (answer == nullptr) missing_.insert(question);
    return answer == nullptr || answer->status != dns::Status::kNxDomain;
  }

  // RFC 9989 4.4: strict is equality, relaxed is one organizational domain.
  Alignment alignment(std::string_view authenticated, bool strict) {
    const auto domain = mail::normalize_domain(authenticated);
    if (!domain.ok()) return Alignment::kNo;
    if (*domain == author_) return Alignment::kYes;
    // One organization's names all lie below its domain: no walk for any other.
    if (strict || !is_at_or_below(*domain, walk_.organizational)) return Alignment::kNo;
    const TreeWalk walk = walk_tree(*domain, answers_);
    if (!walk.missing.empty()) {
      missing_.insert(walk.missing.begin(), walk.missing.end());
      return Alignment::kMissing;
    }
    if (walk.temporary) return Alignment::kTemporary;
    return walk.organizational == walk_.organizational ? Alignment::kYes : Alignment::kNo;
  }

  std::string author_;
  const dns::Answers& answers_;
  TreeWalk walk_;
  std::set<dns::Question> missing_;
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
                            const dns::Answers& answers) {
  Author author = author_domain(headers);
  if (!author.problem.empty()) {
    DmarcVerdict verdict;
    verdict.result = DmarcResult::kPermError;
    verdict.policy = name(DmarcPolicy::kNone);
    verdict.reason = author.problem;
    return {std::move(verdict), {}};
  }
  return Evaluation(std::move(author.domain), answers).run(spf, dkim);
}

}  // namespace policy
