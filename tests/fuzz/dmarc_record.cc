// Parts: zone with the policies, From field, SPF domain, signing domain. Both profiles; questions
// and rounds are bounded.
#include "fuzz/input.h"
#include "policy/dmarc.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto parts = fuzz::parts(data, size);
  const fuzz::Zone zone(parts[0]);
  std::string block = "From: " + std::string(fuzz::part(parts, 1)) + "\r\n";
  const auto headers = mail::Headers::scan(block, 10);
  if (!headers.ok()) return 0;
  const spf::Verdict spf{spf::Result::kPass, std::string(fuzz::part(parts, 2)), "", ""};
  dkim::SignatureVerdict signature;
  signature.result = dkim::Result::kPass;
  signature.domain = fuzz::part(parts, 3);
  for (const auto profile : {policy::DmarcProfile::kRfc9989, policy::DmarcProfile::kRfc7489}) {
    dns::Answers answers;
    std::vector<std::string> steps;
    for (int round = 0;; ++round) {
      fuzz::require(round < 10);
      const auto outcome =
          policy::evaluate_dmarc(*headers, spf, {signature}, answers, profile, &steps);
      if (outcome.verdict) break;
      fuzz::require(!outcome.missing.empty());
      for (const dns::Question& question : outcome.missing) {
        answers.put(question, zone.answer(question));
      }
      fuzz::require(answers.size() <= 40);
    }
  }
  return 0;
}
