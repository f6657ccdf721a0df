// Signing with a kept key, per algorithm, and hashing the body as it passes.
#include <benchmark/benchmark.h>

#include <string>

#include "dkim/signer.h"

namespace {

const std::string kHeader =
    "From: support@acme.example\r\nTo: anna@customer.example\r\nSubject: Re: order\r\n"
    "Date: Sat, 31 Jan 2026 12:00:00 +0000\r\nMessage-ID: <1@acme.example>\r\n";

void sign(benchmark::State& state, dkim::Algorithm algorithm) {
  const auto key = dkim::SigningKey::generate(algorithm).take();
  const auto headers = mail::Headers::scan(kHeader, 100).take();
  const std::string hash(32, 'h');
  dkim::SignRequest request;
  request.domain = "acme.example";
  request.selector = "s1";
  request.key = key;
  request.wall_s = 1;
  for (auto _ : state) benchmark::DoNotOptimize(dkim::sign(request, headers, hash));
}
BENCHMARK_CAPTURE(sign, rsa_2048, dkim::Algorithm::kRsaSha256);
BENCHMARK_CAPTURE(sign, ed25519, dkim::Algorithm::kEd25519Sha256);

void relaxed_body_hash(benchmark::State& state) {
  std::string body;
  while (body.size() < (1U << 20)) body += "words  with \t blanks and a line end \r\n";
  for (auto _ : state) {
    dkim::RelaxedBodyHash hash;
    hash.update(body);
    benchmark::DoNotOptimize(hash.finish());
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) *
                          static_cast<std::int64_t>(body.size()));
}
BENCHMARK(relaxed_body_hash);

}  // namespace
