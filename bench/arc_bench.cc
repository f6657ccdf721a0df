// Verifying a message with an ARC chain, its keys already answered.
#include "core/base/limits.h"
#include "core/mail/headers.h"
#include "dkim/arc.h"
#include "operation.h"
#include "support/arc_sealer.h"

namespace bench {
namespace {

Run verify(int sets, dkim::Algorithm algorithm) {
  dns::Answers answers;
  for (const auto& [name, answer] : arc_sealer::usual_zone(sets, algorithm)) {
    answers.put({name, dns::Type::kTxt}, answer);
  }
  return [message = arc_sealer::sealed(sets, algorithm), answers, limits = base::Limits()] {
    const auto headers = mail::Headers::scan(message.header, 1000);
    dkim::ArcVerifier verifier(limits);
    (void)verifier.headers(*headers);
    verifier.body(message.body);
    require(verifier.finish(answers).result == dkim::ArcResult::kPass, "the chain passes");
  };
}

Operation of(const std::string& name, int sets, dkim::Algorithm algorithm, int counted_runs) {
  return {"arc/verify/" + name + "/" + std::to_string(sets),
          [=] { return verify(sets, algorithm); }, 0, 1, counted_runs};
}

}  // namespace

Operations arc_operations() {
  return {of("rsa_2048", 1, dkim::Algorithm::kRsaSha256, 20),
          of("rsa_2048", 5, dkim::Algorithm::kRsaSha256, 5),
          of("rsa_2048", 50, dkim::Algorithm::kRsaSha256, 1),
          of("ed25519", 5, dkim::Algorithm::kEd25519Sha256, 2)};
}

}  // namespace bench
