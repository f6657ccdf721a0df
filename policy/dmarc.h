// DMARC (RFC 9989; RFC 7489 by choice) as a pure function over the From field, SPF and DKIM
// verdicts and the answers so far (docs/decisions: replay, DMARC profiles). Whatever the input, it
// asks for the names of at most eleven tree walks of eight names each.
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

// RFC 9989 9.2. Nothing that DMARC meets is a permanent error by the RFC's text: a record that
// cannot be used is as good as none (4.10.1), and so is a From field without one domain (5.3.1).
enum class DmarcResult { kNone, kPass, kFail, kTempError, kPermError };
std::string_view name(DmarcResult result);

struct DmarcVerdict {
  DmarcResult result = DmarcResult::kNone;
  // RFC5322.From, normalized (lower case, A-labels). "" where there is not exactly one: no From
  // field or several, one that cannot be read, or addresses of several domains. Such mail is not
  // DMARC's to judge (RFC 9989 5.3.1) but a known way around it (11.5): treat it as unproven.
  std::string from_domain;
  // "none", "quarantine", "reject": what applies to this mail, sp, np, t and pct considered.
  std::string policy;
  std::string policy_domain;                 // where the record stands; "" where none applies
  std::string organizational_domain;         // of the From domain; "" while it is not known
  std::vector<std::string> aligned_signers;  // domains of passing signatures that align
  bool spf_aligned = false;                  // an SPF pass whose domain aligns
  bool dkim_aligned = false;                 // a passing signature whose domain aligns
  std::string reason;                        // a few words for people, never empty
};

struct DmarcOutcome {
  std::optional<DmarcVerdict> verdict;
  std::vector<dns::Question> missing;
};

// Which rules are applied: RFC 9989 (DNS tree walk), or RFC 7489 (public suffix list through
// libpsl, `pct`) for those who must match older receivers.
enum class DmarcProfile { kRfc9989, kRfc7489 };

// `spf` is the verdict on MAIL FROM, or on HELO where the sender is null (RFC 9989 3.2.4); a
// verdict on HELO beside a sender says nothing here. The result is temperror where nothing passed
// and aligned and something that could have was undecided: a record that DNS did not give, SPF or a
// signature with temperror whose domain would align. Any thread. `steps`, where given, is emptied
// and gets one line for people a step: where a record was looked for and what was found, what
// aligned with what.
DmarcOutcome evaluate_dmarc(const mail::Headers& headers, const spf::Verdict& spf,
                            const std::vector<dkim::SignatureVerdict>& dkim,
                            const dns::Answers& answers,
                            DmarcProfile profile = DmarcProfile::kRfc9989,
                            std::vector<std::string>* steps = nullptr);

}  // namespace policy
