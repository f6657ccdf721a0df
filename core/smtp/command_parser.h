// The grammar of the arguments of SMTP commands (RFC 5321 4.1.1 and 4.1.2; parameters of RFC 1870,
// 3030, 3461, 4954, 6152, 6531, 6533). Pure. What cannot be parsed gives the reply that says why
// and what to send instead. The line was checked for control characters before.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "core/mail/envelope.h"
#include "core/smtp/reply.h"

namespace smtp {

struct Command {
  std::string verb;           // upper case
  std::string_view argument;  // into the line, blanks at both ends cut
};
Command parse_command(std::string_view line);

template <typename T>
using Parsed = std::variant<T, Reply>;

// `FROM:<path> parameters`. A SIZE over the limit is 552 5.3.4 here. AUTH= is checked and ignored
// (RFC 4954 section 5: nobody is trusted to vouch for others).
Parsed<mail::Envelope> parse_mail(std::string_view argument, std::uint64_t message_octets_max);
// `TO:<path> parameters`; `smtputf8` is what MAIL said.
Parsed<mail::Recipient> parse_rcpt(std::string_view argument, bool smtputf8);

// RFC 3030 section 2. Without `octets` nobody can say where the chunk ends.
struct BdatArgument {
  std::optional<std::uint64_t> octets;
  bool last = false;
  bool malformed = false;  // something other than LAST behind the size
};
BdatArgument parse_bdat(std::string_view argument);

struct AuthArgument {
  std::string mechanism;                             // upper case
  std::optional<std::string_view> initial_response;  // base64; "=" is "" (RFC 4954 section 4)
};
Parsed<AuthArgument> parse_auth(std::string_view argument);

struct PlainMessage {
  std::string_view authzid, authcid, password;
};
// RFC 4616: [authzid] NUL authcid NUL password, the last two not empty, no further NUL.
std::optional<PlainMessage> parse_plain(std::string_view message);

// The argument of EHLO and HELO. RFC 5321 4.1.1.1 wants a domain or an address literal; real
// clients send all sorts of names, so all is taken that is printable ASCII, at most 255 octets and
// cannot be misread inside a Received field.
bool is_hello_name(std::string_view name);

// A request line or a header field of HTTP in place of a command.
bool looks_like_http(std::string_view verb);

// RFC 3461 section 4; what is encoded must be printable ASCII too.
bool is_xtext(std::string_view text);

}  // namespace smtp
