// Everything that was found out about who wrote a mail, in one value, and its two written forms:
// the ticket's `authentication` object and the Authentication-Results field (RFC 8601). Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/mail/headers.h"
#include "dkim/verifier.h"
#include "policy/dmarc.h"
#include "spf/spf.h"

namespace policy {

struct Judgement {
  std::optional<spf::Verdict> spf;  // absent behind an authenticated relay (product rule A3)
  std::string mail_from;            // for smtp.mailfrom
  std::string helo;
  std::vector<dkim::SignatureVerdict> dkim;
  DmarcVerdict dmarc;
  std::string authenticated_user;  // "" where nobody logged in
};

// {"spf": {...}, "dkim": [...], "dmarc": {...}, "arc": {}} in the shape of `relayctl check
// message`.
std::string authentication_json(const Judgement& judgement);

// The complete folded field with its CRLF, ready for the prefix. Values from outside are quoted and
// cleaned, so that nothing a sender wrote can end the field or forge a result.
std::string authentication_results(const Judgement& judgement, std::string_view authserv_id);

// Does this field claim to be ours (RFC 8601 section 5)? Compares the authserv-id behind comments,
// quoting and case. Such fields are taken out of what arrives.
bool is_forged_authentication_results(const mail::HeaderField& field, std::string_view authserv_id);

}  // namespace policy
