// A DKIM-Signature field as it was written (RFC 6376 3.5), checked before the library sees it, so
// that every signature can be reported under its own name whatever is wrong with it. Pure.
#pragma once

#include <string>
#include <string_view>

#include "dkim/verifier.h"

namespace dkim {

struct SignatureField {
  SignatureVerdict verdict;  // names filled; result and reason set where it cannot be verified
  bool well_formed = false;  // may go to the library
  bool verifiable = false;   // well-formed and of an algorithm that may pass
  std::string signature;     // b=, without blanks
  std::string key_name;      // where its key is
};
SignatureField read_signature(std::string_view field_body);

}  // namespace dkim
