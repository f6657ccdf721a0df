// What trusted servers recorded about a mail before it came here, and where that may be believed.
// Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/mail/headers.h"
#include "dkim/arc.h"
#include "policy/judgement.h"

namespace policy {

// The Authentication-Results of the organisation's own servers (`trusted_authserv_ids`). Only for
// mail that came over its authenticated relay: anybody else could write them. nullopt where there
// are none. `null_sender`: of our envelope.
std::optional<Recorded> recorded_by_organisation(const mail::Headers& headers,
                                                 const std::vector<std::string>& authserv_ids,
                                                 bool null_sender);

// What the sealers of a passing chain recorded, from the newest set back to the last one whose
// sealer, like all after it, is trusted: whoever sealed later could have changed the message.
std::optional<Recorded> recorded_by_sealers(const dkim::ArcVerdict& arc,
                                            const std::vector<std::string>& trusted_sealers,
                                            bool null_sender);

// The record's own DMARC result for this author: what it said needs no second evaluation.
bool says_dmarc_pass(const Recorded& recorded, const std::string& from_domain);

}  // namespace policy
