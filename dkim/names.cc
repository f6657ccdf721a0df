#include "core/base/bytes.h"
#include "dkim/signer.h"
#include "dkim/verifier.h"

namespace dkim {

std::string_view name(Algorithm algorithm) {
  return algorithm == Algorithm::kRsaSha256 ? "rsa-sha256" : "ed25519-sha256";
}

base::Result<Algorithm> parse_algorithm(std::string_view text) {
  if (base::iequals(text, "rsa-sha256")) return Algorithm::kRsaSha256;
  if (base::iequals(text, "ed25519-sha256")) return Algorithm::kEd25519Sha256;
  return base::error("the algorithm must be rsa-sha256 or ed25519-sha256, not \"" +
                     base::printable(text, 40) + "\"");
}

std::string_view name(Result result) {
  switch (result) {
    case Result::kNone:
      return "none";
    case Result::kPass:
      return "pass";
    case Result::kFail:
      return "fail";
    case Result::kPolicy:
      return "policy";
    case Result::kNeutral:
      return "neutral";
    case Result::kTempError:
      return "temperror";
    case Result::kPermError:
      return "permerror";
  }
  return "none";
}

}  // namespace dkim
