// DKIM signing (RFC 6376; RFC 8463 for Ed25519), relaxed/relaxed, with keys parsed once. The body
// is hashed while it passes; a signature costs one private-key operation and may run on any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/mail/headers.h"

namespace dkim {

enum class Algorithm { kRsaSha256, kEd25519Sha256 };
std::string_view name(Algorithm algorithm);  // "rsa-sha256", "ed25519-sha256"
base::Result<Algorithm> parse_algorithm(std::string_view text);

// A private key. Immutable, thread-safe, shared.
class SigningKey {
 public:
  // RSA: 2048 bits (RFC 8301 asks for at least 1024; receivers want 2048).
  static base::Result<std::shared_ptr<const SigningKey>> generate(Algorithm algorithm);
  static base::Result<std::shared_ptr<const SigningKey>> from_pem(std::string_view pem);  // PKCS#8
  ~SigningKey();
  [[nodiscard]] std::string pem() const;
  [[nodiscard]] Algorithm algorithm() const;
  // The value of the TXT record: "v=DKIM1; k=rsa; p=..." (RFC 6376 3.6.1, RFC 8463 4).
  [[nodiscard]] std::string dns_record() const;
  // Raw signature over `data` (already the canonical header input of RFC 6376 3.7).
  [[nodiscard]] base::Result<std::string> sign(std::string_view data) const;

 private:
  SigningKey();
  struct State;
  std::unique_ptr<State> state_;
};

// SHA-256 of the relaxed body (RFC 6376 3.4.4), over any splits. Constant memory.
class RelaxedBodyHash {
 public:
  RelaxedBodyHash();
  ~RelaxedBodyHash();
  RelaxedBodyHash(const RelaxedBodyHash&) = delete;
  RelaxedBodyHash& operator=(const RelaxedBodyHash&) = delete;
  void update(std::string_view bytes);
  std::string finish();  // 32 bytes; once

 private:
  struct State;
  std::unique_ptr<State> state_;
};

struct SignRequest {
  std::string domain;    // d=, A-labels
  std::string selector;  // s=
  std::shared_ptr<const SigningKey> key;
  std::int64_t wall_s = 0;               // t=
  std::vector<std::string> more_fields;  // signed too where present: the configured marker headers
};

// The fields that are signed when present (each as often as it stands there); From once more than
// that (oversigned), so that no second From can be put in front.
const std::vector<std::string>& signed_field_names();

// The complete folded field with its CRLF, ready for the prefix. Any thread; the private-key
// operation happens here.
base::Result<std::string> sign(const SignRequest& request, const mail::Headers& headers,
                               std::string_view body_hash);

}  // namespace dkim
