// What a smarthost's reply says beside the fate of the message: that the login is at fault, that
// there are too many connections. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/smtp/reply.h"

namespace egress {

// Is this reply to AUTH the account's fault, so that trying again could lock it at the server
// (product rule O3)? RFC 4954 section 6: 535 5.7.8 (credentials), 534 5.7.9 (too weak for this
// user), 538 5.7.11, 530, and what servers say instead with 5.7.x or 55z. Not: 4yz (454 4.7.0 is
// the server's trouble, 432 4.7.12 a password change under way), and 500 to 504, which speak of the
// command, not of who said it.
bool blames_account(const smtp::Reply& reply);

// 530 in the answer to MAIL, RCPT or DATA (RFC 4954 section 6: authentication required): no message
// is to blame for it.
bool wants_login(const smtp::Reply& reply);

// "Too many connections", in the ways it is said: 421 and 4.7.x with words to that effect, 432
// 4.3.2 of Exchange Online (STOREDRV.ClientSubmit; sender thread limit exceeded).
bool says_too_many_connections(const smtp::Reply& reply);

// RFC 5321 4.5.3.1.10: 552 to RCPT for "too many recipients" is to be taken for 452. `others` tells
// whether a recipient of the same transaction was accepted.
bool means_too_many_recipients(const smtp::Reply& reply, bool others);

// Connections at once after the peer complained: what works, for ten minutes; then one more every
// ten minutes, up to what is configured.
class ConnectionCap {
 public:
  static constexpr std::int64_t kHoldMs = 600'000;

  [[nodiscard]] unsigned allowed(unsigned configured, std::int64_t steady_ms);
  // `working`: how many the peer has shown to bear; at least one is always allowed.
  void lower(unsigned working, std::int64_t steady_ms);
  [[nodiscard]] bool lowered() const { return cap_.has_value(); }

 private:
  std::optional<unsigned> cap_;
  std::int64_t raise_at_ms_ = 0;
};

}  // namespace egress
