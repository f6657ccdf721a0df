// Verification of an Authenticated Received Chain (RFC 8617 section 5.2), fed as the message
// passes, in the same three calls as dkim::Verifier: keys are asked for at the end of the header
// and given before the end of the message.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/limits.h"
#include "core/dns/answers.h"
#include "core/mail/headers.h"

namespace dkim {

enum class ArcResult { kNone, kPass, kFail };
std::string_view name(ArcResult result);  // RFC 8617 4.4: "none", "pass", "fail"

// One ARC set as its sealer wrote it; filled as far as it could be read, proven only where the
// whole chain passes.
struct ArcSet {
  int instance = 0;
  std::string sealer;    // d= of the ARC-Seal, normalized
  std::string selector;  // s= of the ARC-Seal
  std::string cv;        // "none", "pass", "fail"
  std::string signer;    // d= of the ARC-Message-Signature, normalized
  std::string results;   // body of the ARC-Authentication-Results behind "i=N;", unfolded
};

struct ArcVerdict {
  ArcResult result = ArcResult::kNone;
  std::string reason;        // a few words for people; why it failed, and at which set
  std::vector<ArcSet> sets;  // by instance, 1 first; as many as the highest instance that was seen
  bool temporary = false;    // it failed only because DNS did not answer
  // Octets of the canonical body behind what l= of the newest ARC-Message-Signature covers: anybody
  // can have put them there (RFC 6376 8.2). 0 where all of it is signed.
  std::uint64_t unsigned_octets = 0;
  bool testing = false;  // a key of a passing chain says t=y (RFC 6376 3.6.1)
};

// One message, one thread at a time.
class ArcVerifier {
 public:
  explicit ArcVerifier(const base::Limits& limits);
  ~ArcVerifier();
  ArcVerifier(const ArcVerifier&) = delete;
  ArcVerifier& operator=(const ArcVerifier&) = delete;

  // The whole header section; its bytes must live until finish(). Gives the keys to ask for (TXT);
  // none where there is no chain or its structure is already wrong.
  std::vector<dns::Question> headers(const mail::Headers& headers);
  // Body bytes as they come, any splits.
  void body(std::string_view bytes);
  // `answers` must hold every question of headers(). Once.
  ArcVerdict finish(const dns::Answers& answers);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dkim
