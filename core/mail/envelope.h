// What SMTP says about a message beside the message itself (RFC 5321 2.3.1), with the parameters
// of DSN (RFC 3461), 8BITMIME (RFC 6152) and SMTPUTF8 (RFC 6531). Plain data, moves with its owner.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mail {

enum class BodyType : std::uint8_t { k7Bit, k8BitMime };

struct Recipient {
  std::string address;  // as given in RCPT TO, without brackets
  std::string notify;   // RFC 3461 4.1: "" (not said), "NEVER" or a list of SUCCESS,FAILURE,DELAY
  std::string orcpt;    // RFC 3461 4.2, as given (xtext): "rfc822;..."; "" when not said
};

struct Envelope {
  std::string mail_from;  // without brackets; "" is the null sender
  BodyType body = BodyType::k7Bit;
  bool smtputf8 = false;
  std::uint64_t size_declared = 0;  // SIZE=, 0 when not said
  std::string ret;                  // RFC 3461 4.3: "", "FULL" or "HDRS"
  std::string envid;                // RFC 3461 4.4, as given (xtext)
  std::vector<Recipient> recipients;
};

}  // namespace mail
