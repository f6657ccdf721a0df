// A key record in front of a signature that is well-formed: the record is what is fuzzed.
#include "dkim/verifier.h"
#include "fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto library = dkim::Library::open().take();
  static const std::string block =
      "From: a@example.com\r\n"
      "DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=s; h=from;\r\n"
      " bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n"
      "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed; d=example.com; s=s; h=from;\r\n"
      " bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n";
  const auto headers = mail::Headers::scan(block, 10);
  const base::Limits limits;
  dkim::Verifier verifier(library, limits);
  dns::Answers answers;
  for (const dns::Question& question : verifier.headers(*headers)) {
    dns::Answer answer{dns::Status::kOk, {}, false};
    for (const std::string_view record : fuzz::parts(data, size)) {
      answer.records.emplace_back(record);
    }
    answers.put(question, std::move(answer));
  }
  for (const auto& verdict : verifier.finish(answers)) {
    fuzz::require(verdict.result != dkim::Result::kPass);
  }
  return 0;
}
