// Delivery status notifications: the encodings of RFC 3461, and reading a report (RFC 3464 in a
// multipart/report of RFC 6522; internationalized by RFC 6533). Pure; hostile input gives nullopt
// or a report with less in it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/mail/headers.h"

namespace mail {

// RFC 3461 4: "+HH" for what is not printable ASCII, and for "+" and "=". nullopt: not xtext.
std::optional<std::string> decode_xtext(std::string_view text);

// An ORCPT parameter as it stands in the envelope: its type ("rfc822", "utf-8") and the address
// itself, decoded (RFC 3461 4.2, RFC 6533 3). nullopt: it is none.
struct TypedAddress {
  std::string type;
  std::string address;
};
std::optional<TypedAddress> decode_orcpt(std::string_view orcpt);

struct DeliveryReport {
  struct Recipient {
    std::string original, final_address;  // addresses without their type; "" where not said
    std::string action;                   // lower case: failed delayed delivered relayed expanded
    std::string status;                   // "5.1.1"
    std::string diagnostic, remote;
  };
  std::string envelope_id;  // Original-Envelope-Id
  std::string reporting_mta;
  std::vector<Recipient> recipients;  // those whose action is known, at least one
  std::string returned_headers;       // of the returned message; "" where nothing was returned
};

// Is the message one of these, by its Content-Type?
bool is_delivery_report(const Headers& headers);
// `body` is what follows the message's header, as much of it as there is.
std::optional<DeliveryReport> read_delivery_report(const Headers& headers, std::string_view body);

}  // namespace mail
