// The hash that a signature is made over (RFC 6376 3.7, 5.4.2). Pure.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/mail/headers.h"
#include "dkim/canonical.h"

namespace dkim {

// The fields of a message by name, so that one list after another can be looked up in linear time.
// Views into `headers`, which must outlive it. Not changed by use.
class FieldIndex {
 public:
  explicit FieldIndex(const mail::Headers& headers);

  // SHA-256, 32 octets, over the fields that `names` (lower case) asks for and then `signature`
  // itself, its b= left empty. Several fields of a name are taken from the bottom up; a name for
  // which none is left adds nothing; `signature` is never one of the signed fields (RFC 6376 3.5).
  [[nodiscard]] std::string hash(const std::vector<std::string>& names,
                                 const mail::HeaderField& signature, Canonical method) const;

 private:
  std::unordered_map<std::string, std::vector<const mail::HeaderField*>> fields_;  // top down
};

}  // namespace dkim
