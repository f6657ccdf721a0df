// Everything that was found out about who wrote a mail, in one value, and its two written forms:
// the ticket's `authentication` object and the Authentication-Results field (RFC 8601). Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/mail/headers.h"
#include "dkim/arc.h"
#include "dkim/verifier.h"
#include "policy/dmarc.h"
#include "policy/results_field.h"
#include "spf/spf.h"

namespace policy {

// How mail is judged: `spf.engine`, `dmarc.profile`, `arc.trusted_sealers` of the configuration.
struct JudgementRules {
  spf::Engine spf_engine = spf::Engine::kNative;
  DmarcProfile dmarc_profile = DmarcProfile::kRfc9989;
  std::vector<std::string> trusted_sealers;  // normalized
  bool operator==(const JudgementRules&) const = default;
};

// What a server that is trusted found out before the mail came here: the organisation's own server
// in its Authentication-Results (product rule A3), or a trusted sealer in an ARC set (RFC 8617
// 7.2.2).
struct Recorded {
  std::vector<std::string> by;  // authserv-ids or sealing domains, the nearest to us first
  std::optional<spf::Verdict> spf;
  std::vector<dkim::SignatureVerdict> dkim;  // the passing ones
  std::string dmarc;                         // its result, lower case; "" where it said none
  std::string dmarc_from;                    // header.from of it, normalized
};

enum class Disposition { kAccepted, kSuspended };
std::string_view name(Disposition disposition);

struct Judgement {
  std::optional<spf::Verdict> spf;   // absent behind an authenticated relay (product rule A3)
  std::optional<spf::Verdict> helo;  // of the HELO name, where it is another identity than `spf`
  std::string mail_from;             // for smtp.mailfrom
  std::string helo_name;
  std::vector<dkim::SignatureVerdict> dkim;
  std::size_t signatures_not_examined = 0;  // past limits.dkim_signatures
  DmarcVerdict dmarc;
  dkim::ArcVerdict arc;
  std::string authenticated_user;      // "" where nobody logged in
  std::optional<Recorded> recorded;    // the organisation's own results, behind its relay
  std::optional<Recorded> arc_record;  // of trusted sealers in a chain that passes
  // Whose record stands in where DMARC failed here: a message that was changed on its way, not a
  // forged one.
  enum class StandIn { kNobody, kOrganisation, kSealers };
  StandIn stand_in = StandIn::kNobody;
  bool out_of_time = false;  // DNS took longer than limits.judgement_timeout
  Disposition disposition = Disposition::kAccepted;
  std::vector<std::string> reasons;  // in words that an agent understands
};

// {"spf": {...}, "dkim": [...], "dmarc": {...}, "arc": {...}, "disposition": "...", "reasons":
// [...]} in the shape of `relayctl check message`.
std::string authentication_json(const Judgement& judgement);

// The complete folded field with its CRLF, ready for the prefix. Values from outside are quoted and
// cleaned, so that nothing a sender wrote can end the field or forge a result.
std::string authentication_results(const Judgement& judgement, std::string_view authserv_id);

// Does this field claim to be ours (RFC 8601 section 5)? Compares the authserv-id behind comments,
// quoting and case. Such fields are taken out of what arrives.
bool is_forged_authentication_results(const mail::HeaderField& field, std::string_view authserv_id);

}  // namespace policy
