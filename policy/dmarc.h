// DMARC (RFC 9989) as a pure function over the From field, SPF and DKIM verdicts and the answers so
// far: DNS tree walk for policy and organisational domain, tags p, sp, np, adkim, aspf, psd, t.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/dns/answers.h"
#include "core/mail/headers.h"
#include "dkim/verifier.h"
#include "spf/spf.h"

namespace policy {

enum class DmarcResult { kNone, kPass, kFail, kTempError, kPermError };
std::string_view name(DmarcResult result);

struct DmarcVerdict {
  DmarcResult result = DmarcResult::kNone;
  std::string from_domain;    // RFC5322.From, normalized; "" where there is none
  std::string policy;         // "none", "quarantine", "reject"; what applies to this mail
  std::string policy_domain;  // where the record stands
  bool spf_aligned = false;
  bool dkim_aligned = false;
  std::string reason;
};

struct DmarcOutcome {
  std::optional<DmarcVerdict> verdict;
  std::vector<dns::Question> missing;
};

DmarcOutcome evaluate_dmarc(const mail::Headers& headers, const spf::Verdict& spf,
                            const std::vector<dkim::SignatureVerdict>& dkim,
                            const dns::Answers& answers);

}  // namespace policy
