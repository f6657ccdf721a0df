// Signing with a kept key and verifying with keys that DNS has answered before, per algorithm;
// hashing the body as it passes.
#include <benchmark/benchmark.h>

#include <string>

#include "core/base/limits.h"
#include "dkim/signer.h"
#include "dkim/verifier.h"

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

// A message of 10 KB with `signatures` of ours; keys are in `answers`.
struct SignedMessage {
  std::string header;
  std::string body;
  dns::Answers answers;
};

SignedMessage signed_message(dkim::Algorithm algorithm, int signatures) {
  SignedMessage made;
  while (made.body.size() < 10000) made.body += "words  with \t blanks and a line end \r\n";
  dkim::RelaxedBodyHash hash;
  hash.update(made.body);
  dkim::SignRequest request;
  request.domain = "acme.example";
  request.selector = "s1";
  request.key = dkim::SigningKey::generate(algorithm).take();
  request.wall_s = 1;
  const std::string field =
      dkim::sign(request, mail::Headers::scan(kHeader, 100).take(), hash.finish()).take();
  for (int i = 0; i < signatures; ++i) made.header += field;
  made.header += kHeader;
  made.answers.put({"s1._domainkey.acme.example", dns::Type::kTxt},
                   {dns::Status::kOk, {request.key->dns_record()}, false});
  return made;
}

void verify(benchmark::State& state, dkim::Algorithm algorithm, bool whole) {
  const auto library = dkim::Library::open().take();
  const auto message = signed_message(algorithm, static_cast<int>(state.range(0)));
  const auto headers = mail::Headers::scan(message.header, 100).take();
  const base::Limits limits;
  for (auto _ : state) {
    dkim::Verifier verifier(library, limits);
    benchmark::DoNotOptimize(verifier.headers(headers));
    if (whole) verifier.body(message.body);
    const auto verdicts = verifier.finish(message.answers);
    if (whole && verdicts.front().result != dkim::Result::kPass) {
      state.SkipWithError("does not verify");
      break;
    }
    benchmark::DoNotOptimize(verdicts);
  }
}
BENCHMARK_CAPTURE(verify, rsa_2048, dkim::Algorithm::kRsaSha256, true)->Arg(1)->Arg(3);
BENCHMARK_CAPTURE(verify, ed25519, dkim::Algorithm::kEd25519Sha256, true)->Arg(1)->Arg(3);

// Without a body: reading the signature, both hashes of the header, the key; no proof.
BENCHMARK_CAPTURE(verify, header_and_key_only, dkim::Algorithm::kRsaSha256, false)->Arg(1);

void no_signature(benchmark::State& state) {
  const auto library = dkim::Library::open().take();
  const auto headers = mail::Headers::scan(kHeader, 100).take();
  const base::Limits limits;
  const std::string body(65536, 'x');
  for (auto _ : state) {
    dkim::Verifier verifier(library, limits);
    verifier.headers(headers);
    verifier.body(body);
    benchmark::DoNotOptimize(verifier.finish(dns::Answers()));
  }
}
BENCHMARK(no_signature);

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
