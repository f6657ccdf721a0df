// Parts: zone with the keys, header, body. Every signature gets a verdict of its own.
#include "dkim/verifier.h"
#include "fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto library = dkim::Library::open().take();
  const auto parts = fuzz::parts(data, size);
  const fuzz::Zone zone(parts[0]);
  const std::string block = fuzz::header_block(fuzz::part(parts, 1));
  const auto headers = mail::Headers::scan(block, 200);
  if (!headers.ok()) return 0;
  const base::Limits limits;
  dkim::Verifier verifier(library, limits);
  dns::Answers answers;
  for (const dns::Question& question : verifier.headers(*headers)) {
    answers.put(question, zone.answer(question));
  }
  const std::string_view body = fuzz::part(parts, 2);
  verifier.body(body.substr(0, body.size() / 3));
  verifier.body(body.substr(body.size() / 3));
  const auto verdicts = verifier.finish(answers);
  fuzz::require(verdicts.size() == headers->count("DKIM-Signature"));
  return 0;
}
