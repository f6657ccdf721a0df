// What a back end is sent, in the tenant's format (docs: the outer face, "Tickets"): the HTTP
// fields and the two ends of the body between which the stored message is streamed. Pure; never
// fails.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "policy/accounts.h"
#include "queue/records.h"
#include "relayd/tickets/body.h"
#include "relayd/tickets/mime_parts.h"

namespace tickets {

struct Ticket {
  std::vector<std::pair<std::string, std::string>> fields;  // safe: printable ASCII, bounded
  std::string head;
  Body::Encoding encoding = Body::Encoding::kBase64;
  std::string tail;
};

// {"type": "message.received", ...}, for a bounce report {"type": "message.bounced", ...}, for an
// event {"type": queue::Message::event, ...} with its details, and no `raw` where it has no body.
// `automated` as automated_reason() says it.
Ticket render_json(const queue::Message& message, const MimeParts& parts,
                   const std::string& automated = {});

// The message itself as message/rfc822; envelope and verdict in X-Relayd-* fields (what Rails'
// Action Mailbox relay ingress takes). A bounce report goes out so too: X-Relayd-Event tells it
// apart.
Ticket render_rfc822(const queue::Message& message, const std::string& automated = {});

// The form of a Mailgun route (multipart/form-data, RFC 7578): recipient, sender, subject, from,
// timestamp, token, signature and body-mime; relayd-automated beside a mail, relayd-event and
// relayd-related-id beside anything else. `random` is 32 or more octets, new for each attempt.
Ticket render_mailgun(const queue::Message& message, const MimeParts& parts,
                      std::string_view secret, std::int64_t timestamp_s, std::string_view random,
                      const std::string& automated = {});

// A value for an HTTP field: what is not printable ASCII, and '%', percent-encoded; cut at 1000
// octets.
std::string field_value(std::string_view text);

}  // namespace tickets
