// The public key of a signing domain as it stands in DNS (RFC 6376 3.6.1, RFC 8463 4), read
// strictly, and what can be proven with it.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/base/result.h"
#include "core/dns/answers.h"
#include "dkim/signer.h"

namespace dkim {

// The key record among the TXT records of an answer; nullptr where there is not exactly one.
// Several are undefined (RFC 6376 3.6.2.2): the only one that says v=DKIM1 is taken.
const std::string* only_key_record(const dns::Answer& answer);

// Immutable; moves.
class PublicKey {
 public:
  // A key record: v= (first, DKIM1), k= (rsa, ed25519), p= (RSA: the bare RSAPublicKey of the RFC's
  // text or the SubjectPublicKeyInfo of its examples and of practice; Ed25519: 32 octets), h=, s=,
  // t=. The error says why it is no key for mail signed with SHA-256: malformed, revoked (empty
  // p=), for other hashes (h=) or services (s=) only, RSA under 1024 bits (RFC 8301 3.2) or beyond
  // what is verified in bounded time (8192 bits, an exponent of 64 bits).
  static base::Result<PublicKey> parse(std::string_view record);
  // The same of the only key record of an answer that is not temporary.
  static base::Result<PublicKey> parse(const dns::Answer& answer);

  ~PublicKey();
  PublicKey(PublicKey&&) noexcept;
  PublicKey& operator=(PublicKey&&) noexcept;

  [[nodiscard]] Algorithm algorithm() const;
  [[nodiscard]] int bits() const;
  // t=y: the domain is only trying DKIM out (RFC 6376 3.6.1).
  [[nodiscard]] bool testing() const;
  // Does `signature` (the octets, not base64) fit to data with this SHA-256?
  [[nodiscard]] bool verifies(std::string_view digest, std::string_view signature) const;

 private:
  PublicKey();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dkim
