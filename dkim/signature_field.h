// A DKIM-Signature field as it was written (RFC 6376 3.5, 6.1.1), checked before anything is
// computed, so that every signature is reported under its own name whatever is wrong with it. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dkim/canonical.h"
#include "dkim/verifier.h"

namespace dkim {

struct SignatureField {
  SignatureVerdict verdict;  // names filled as far as they could be read; result and reason set
                             // where it cannot be verified
  bool verifiable = false;   // well-formed, not expired, of an algorithm that may pass

  // The rest only where it is verifiable.
  std::string key_name;                          // where its key is
  std::string signature;                         // b=, decoded
  std::string body_hash;                         // bh=, decoded
  Canonical header_method = Canonical::kSimple;  // c=
  Canonical body_method = Canonical::kSimple;
  std::vector<std::string> signed_names;     // h=, lower case, in its order
  std::optional<std::uint64_t> body_length;  // l=; numbers that do not fit: BodyHash::kWhole
  std::string identity_domain;               // of i=, normalized
  bool in_future = false;                    // t= is later than now
  // Written so plainly that libopendkim reads it as RFC 6376 does (docs/decisions: DKIM results).
  bool plain = false;
};

// `now_s`: seconds since 1970, for x= and t=. At most 16 KiB of field, 64 tags.
SignatureField read_signature(std::string_view field_body, std::int64_t now_s);

}  // namespace dkim
