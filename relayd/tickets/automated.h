// Was a mail written by a machine (product rule A5)? The back end sends no automatic answer to it.
// RFC 3834 section 2 and 5, RFC 2076, RFC 2919, RFC 3464, RFC 5436. Pure.
#pragma once

#include <string>
#include <string_view>

#include "relayd/tickets/mime_parts.h"

namespace tickets {

// "" for a person's mail, else why not: "null-sender", "auto-submitted: auto-replied",
// "multipart/report", "precedence: bulk", "list-id", "x-auto-response-suppress: all", ...
std::string automated_reason(const MimeParts& parts, std::string_view mail_from);

}  // namespace tickets
