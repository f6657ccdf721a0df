// Verifying a message with an ARC chain, its keys already answered.
#include <benchmark/benchmark.h>

#include <string>

#include "core/base/limits.h"
#include "core/mail/headers.h"
#include "dkim/arc.h"
#include "support/arc_sealer.h"

namespace {

void verify_arc(benchmark::State& state, dkim::Algorithm algorithm) {
  const auto sets = static_cast<int>(state.range(0));
  const arc_sealer::Message message = arc_sealer::sealed(sets, algorithm);
  dns::Answers answers;
  for (const auto& [name, answer] : arc_sealer::usual_zone(sets, algorithm)) {
    answers.put({name, dns::Type::kTxt}, answer);
  }
  const base::Limits limits;
  for (auto _ : state) {
    const auto headers = mail::Headers::scan(message.header, 1000);
    dkim::ArcVerifier verifier(limits);
    benchmark::DoNotOptimize(verifier.headers(*headers));
    verifier.body(message.body);
    const auto verdict = verifier.finish(answers);
    if (verdict.result != dkim::ArcResult::kPass) state.SkipWithError(verdict.reason.c_str());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK_CAPTURE(verify_arc, rsa_2048, dkim::Algorithm::kRsaSha256)->Arg(1)->Arg(5)->Arg(50);
BENCHMARK_CAPTURE(verify_arc, ed25519, dkim::Algorithm::kEd25519Sha256)->Arg(5);

}  // namespace
