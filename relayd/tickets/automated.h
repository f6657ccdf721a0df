// Was a mail written by a machine (product rule A5)? The back end sends no automatic answer to it.
// RFC 3834 sections 2 and 5, RFC 2076, RFC 2919, RFC 3464, RFC 5436. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "queue/records.h"
#include "relayd/tickets/mime_parts.h"

namespace tickets {

// "" for a person's mail, else why not, as "KIND" or "KIND: WORD", the kinds being a fixed set:
// "null-sender", "auto-submitted: auto-replied", "report", "list: list-id", "precedence: bulk",
// "x-auto-response-suppress: all", "x-autoreply", "marker: x-desk-from-account-id", "sender:
// mailer-daemon", "subject: ...", "loop: rate". `marker_headers` are the fields that help desks
// behind this relayd put into their own mail (outbound.marker_headers).
std::string automated_reason(const MimeParts& parts, const queue::Message& message,
                             const std::vector<std::string>& marker_headers);

}  // namespace tickets
