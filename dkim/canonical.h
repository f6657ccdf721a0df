// Canonical forms (RFC 6376 3.4) of header fields and of the body: what signatures are made over.
// Pure, except that BodyHash counts.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/mail/headers.h"

namespace dkim {

// The two methods of c= (RFC 6376 3.5).
enum class Canonical { kSimple, kRelaxed };

// RFC 6376 3.4.2: "name:value", the name in lower case, unfolded, blanks reduced; without a final
// CRLF.
std::string relaxed_field(std::string_view name, std::string_view body);

// A field of a message in the form that goes into a header hash (RFC 6376 3.4.1 and 3.4.2), without
// a final CRLF.
std::string canonical_field(const mail::HeaderField& field, Canonical method);

// The same of a field that holds a signature, the value of its b= and all blanks around it left out
// (RFC 6376 3.7). The field must be a tag list.
std::string canonical_unsigned_field(const mail::HeaderField& field, Canonical method);

// SHA-256 of `bytes`, 32 octets.
std::string sha256(std::string_view bytes);

// SHA-256 of the canonical body (RFC 6376 3.4.3, 3.4.4) as it passes, over any splits; a body that
// does not end in CRLF gets one. Constant memory. One message, one thread at a time.
class BodyHash {
 public:
  static constexpr std::uint64_t kWhole = UINT64_MAX;

  // `octets_max` is l=: only so many octets of the canonical body are hashed.
  explicit BodyHash(Canonical method, std::uint64_t octets_max = kWhole);
  ~BodyHash();
  BodyHash(const BodyHash&) = delete;
  BodyHash& operator=(const BodyHash&) = delete;

  void update(std::string_view bytes);
  std::string finish();  // 32 octets; once
  // Octets of the whole canonical body, hashed or not; after finish().
  [[nodiscard]] std::uint64_t canonical_octets() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dkim
