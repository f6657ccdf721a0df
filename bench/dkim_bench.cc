// Signing with a kept key and verifying with keys that DNS has answered before, per algorithm;
// hashing the body as it passes.
#include <memory>

#include "core/base/limits.h"
#include "dkim/signer.h"
#include "dkim/verifier.h"
#include "operation.h"

namespace bench {
namespace {

const std::string kHeader =
    "From: support@acme.example\r\nTo: anna@customer.example\r\nSubject: Re: order\r\n"
    "Date: Sat, 31 Jan 2026 12:00:00 +0000\r\nMessage-ID: <1@acme.example>\r\n";

dkim::SignRequest request(dkim::Algorithm algorithm) {
  dkim::SignRequest request;
  request.domain = "acme.example";
  request.selector = "s1";
  request.key = dkim::SigningKey::generate(algorithm).take();
  request.wall_s = 1;
  return request;
}

Run sign(dkim::Algorithm algorithm) {
  return [request = request(algorithm), headers = mail::Headers::scan(kHeader, 100).take()] {
    require(dkim::sign(request, headers, std::string(32, 'h')).ok(), "a signature");
  };
}

std::string text(std::size_t octets) {
  std::string body;
  while (body.size() < octets) body += "words  with \t blanks and a line end \r\n";
  return body;
}

// A message of 10 KB with `signatures` of ours; keys are in `answers`.
struct SignedMessage {
  std::string header;
  std::string body = text(10'000);
  mail::Headers headers;  // views of `header`
  dns::Answers answers;
};

std::shared_ptr<const SignedMessage> signed_message(dkim::Algorithm algorithm, int signatures) {
  const auto made = std::make_shared<SignedMessage>();
  dkim::RelaxedBodyHash hash;
  hash.update(made->body);
  const dkim::SignRequest ours = request(algorithm);
  const std::string field =
      dkim::sign(ours, mail::Headers::scan(kHeader, 100).take(), hash.finish()).take();
  for (int i = 0; i < signatures; ++i) made->header += field;
  made->header += kHeader;
  made->headers = mail::Headers::scan(made->header, 100).take();
  made->answers.put({"s1._domainkey.acme.example", dns::Type::kTxt},
                    {dns::Status::kOk, {ours.key->dns_record()}, false});
  return made;
}

std::shared_ptr<dkim::Library> library() { return dkim::Library::open().take(); }

Run verify(dkim::Algorithm algorithm, int signatures) {
  return [library = library(), message = signed_message(algorithm, signatures),
          limits = base::Limits()] {
    dkim::Verifier verifier(library, limits);
    (void)verifier.headers(message->headers);
    verifier.body(message->body);
    require(verifier.finish(message->answers).front().result == dkim::Result::kPass,
            "the signature verifies");
  };
}

// Without a body: reading the signature, both hashes of the header, the key; no proof.
Run header_and_key_only() {
  return [library = library(), message = signed_message(dkim::Algorithm::kRsaSha256, 1),
          limits = base::Limits()] {
    dkim::Verifier verifier(library, limits);
    (void)verifier.headers(message->headers);
    require(verifier.finish(message->answers).size() == 1, "one verdict");
  };
}

Run no_signature() {
  return [library = library(), headers = mail::Headers::scan(kHeader, 100).take(),
          body = text(64 << 10), limits = base::Limits()] {
    dkim::Verifier verifier(library, limits);
    (void)verifier.headers(headers);
    verifier.body(body);
    require(verifier.finish(dns::Answers()).empty(), "no verdict");
  };
}

Run body_hash(std::size_t octets) {
  return [body = text(octets)] {
    dkim::RelaxedBodyHash hash;
    hash.update(body);
    require(hash.finish().size() == 32, "a digest");
  };
}

}  // namespace

Operations dkim_operations() {
  constexpr auto kRsa = dkim::Algorithm::kRsaSha256;
  constexpr auto kEd25519 = dkim::Algorithm::kEd25519Sha256;
  return {{"dkim/sign/rsa_2048", [] { return sign(kRsa); }, 0, 1, 5},
          {"dkim/sign/ed25519", [] { return sign(kEd25519); }, 0, 1, 10},
          {"dkim/verify/rsa_2048/1", [] { return verify(kRsa, 1); }, 0, 1, 10},
          {"dkim/verify/rsa_2048/3", [] { return verify(kRsa, 3); }, 0, 1, 5},
          {"dkim/verify/ed25519/1", [] { return verify(kEd25519, 1); }, 0, 1, 5},
          {"dkim/verify/ed25519/3", [] { return verify(kEd25519, 3); }, 0, 1, 3},
          {"dkim/verify/header_and_key_only", header_and_key_only, 0, 1, 20},
          {"dkim/verify/no_signature", no_signature},
          {"dkim/body_hash/64KiB", [] { return body_hash(64 << 10); }, 64 << 10, 1, 10}};
}

}  // namespace bench
