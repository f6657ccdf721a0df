// What the back end calls the ticket it has made, where its answer says so. Pure.
#pragma once

#include <string>
#include <string_view>

namespace tickets {

// The X-Ticket-Id field wins over the body. At most 128 printable octets; "" where there is none.
// The body: a JSON object with "ticket_id" or "id" (a string or a whole number) of its own, not of
// an object inside it; what follows is not looked at, so that the start of a long body is enough.
std::string ticket_id(std::string_view field, std::string_view body_start);

}  // namespace tickets
