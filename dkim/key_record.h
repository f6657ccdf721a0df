// What DNS said about the key of a signature (RFC 6376 6.1.2), as a verdict or as a key. Pure.
#pragma once

#include <optional>
#include <string>

#include "core/dns/answers.h"
#include "dkim/public_key.h"
#include "dkim/verifier.h"

namespace dkim {

struct KeyRecord {
  std::optional<PublicKey> key;
  bool same_domain = false;  // t=s: the domain of i= must be that of d=
  std::string for_library;   // the record with its key alone, without blanks
  // Where there is no key: why, and what that makes of the signature.
  Result result = Result::kNone;
  std::string reason;
};

// `answer` may be nullptr: nobody answered in time.
KeyRecord read_key_record(const dns::Answer* answer);

}  // namespace dkim
