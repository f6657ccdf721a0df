// Who may send what where (product rules D4, D5, D6, D8, D10). Pure functions over a snapshot; each
// refusal carries the reply with its enhanced code and says what to do.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/mail/headers.h"
#include "core/smtp/reply.h"
#include "policy/accounts.h"

namespace policy {

// Who is on the other side of a session: nobody, or the holder of a credential.
struct Peer {
  const Credential* credential = nullptr;  // into the snapshot in use
};

// A refusal, or nothing.
using Refusal = std::optional<smtp::Reply>;

// MAIL FROM. A tenant's credential sends only from connected addresses of that tenant (or with the
// null sender); an inbound credential and nobody may say any sender.
Refusal check_sender(const Accounts& accounts, const Peer& peer, std::string_view mail_from);

// RCPT TO. Inbound credential: only support addresses of its own domain. Nobody: only support
// addresses, and not of a strict two-way domain. Tenant's credential: anywhere but to support
// addresses of other tenants' domains handled here is not our business: any address is taken.
Refusal check_recipient(const Accounts& accounts, const Peer& peer, std::string_view rcpt_to);

// The From field of outbound mail: every mailbox must be a connected address of the tenant, all in
// one domain (rule D5), and the envelope's sender, when not null, in that domain too.
struct Sending {
  const SupportAddress* address = nullptr;  // of the first From mailbox
  const Domain* domain = nullptr;
  Accounts::Route route;
};
std::variant<Sending, smtp::Reply> check_author(const Accounts& accounts, const Peer& peer,
                                                std::string_view mail_from,
                                                const mail::Headers& headers,
                                                bool verification_required);

}  // namespace policy
