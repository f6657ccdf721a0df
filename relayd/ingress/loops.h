// What keeps two machines from answering each other for ever (product rule A5), at the door:
// partner addresses and the rate of a pair. Hops are counted in transaction.cc; what marks a ticket
// as automated is in tickets/automated. Each refusal is logged and counted here.
#pragma once

#include <string>
#include <string_view>

#include "core/mail/headers.h"
#include "policy/partners.h"
#include "policy/permission.h"
#include "queue/records.h"
#include "relayd/ingress/settings.h"

namespace ingress {

// Counts in relayd_loops_total and logs. `reason`: "hops", "partner", "rate".
void note_loop(const Workplace& workplace, std::string_view reason, const queue::Message& message,
               std::string_view sender, std::string_view recipient);

// RCPT of inbound mail, for the domain that was found.
policy::Refusal refuse_partner(const Workplace& workplace, const policy::Accounts& accounts,
                               const policy::Domain& domain, const queue::Message& message);
// The same for the authors in the header: lists and forwarders put a sender of their own in front.
policy::Refusal refuse_partner_author(const Workplace& workplace, const policy::Accounts& accounts,
                                      const policy::Domain& domain, const mail::Headers& headers,
                                      const queue::Message& message);
// RCPT of outbound mail: not sent, and the back end is told so at once.
policy::Refusal suppress_partner(const Workplace& workplace, const policy::Accounts& accounts,
                                 const std::string& tenant, std::string_view recipient,
                                 const queue::Message& message);

// One more inbound message is about to be taken: true where its sender writes to its support
// address too often. It is taken all the same, and flagged.
bool writes_too_often(const Workplace& workplace, const mail::Headers& headers,
                      const queue::Message& message);
// Takes out of an outbound message that says it is automatic (RFC 3834 5) the recipients whose pair
// is past the bound; how many. What a person wrote passes.
std::size_t suppress_automatic(const Workplace& workplace, const mail::Headers& headers,
                               queue::Message& message);

}  // namespace ingress
