// What the other side calls a message, as it says in the reply with which it takes it over. No
// standard says how; these are the ways of common servers. Pure.
#pragma once

#include <string>
#include <string_view>

namespace egress {

// The text behind the code: "2.0.0 Ok: queued as 4FkX1c2Qz" gives "4FkX1c2Qz". At most 128
// printable octets without spaces; "" where none is recognized.
//   Postfix, Haraka: "queued as ID" · Exim: "OK id=ID" · Exchange: "<message-id> [InternalId=N,
//   ...] Queued mail for delivery" · sendmail: "ID Message accepted for delivery" · Gmail: "OK 1700
//   a1-b2.3 - gsmtp" · qmail: "ok 1700 qp 123" · Amazon SES: "Ok ID"
std::string remote_queue_id(std::string_view text);

}  // namespace egress
