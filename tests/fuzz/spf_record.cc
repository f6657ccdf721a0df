// Parts: zone, sender, HELO name, client address. Both engines; the number of questions and rounds
// is bounded whatever the records say.
#include "fuzz/input.h"
#include "spf/spf.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto parts = fuzz::parts(data, size);
  const fuzz::Zone zone(parts[0]);
  const spf::Request request{parts.size() > 3 ? std::string(parts[3]) : "192.0.2.1",
                             std::string(fuzz::part(parts, 2)), std::string(fuzz::part(parts, 1)),
                             "relay.test"};
  const base::Limits limits;
  for (const auto engine : {spf::Engine::kNative, spf::Engine::kLibspf2}) {
    dns::Answers answers;
    std::vector<std::string> steps;
    for (int round = 0;; ++round) {
      fuzz::require(round < 200);
      const spf::Outcome outcome = spf::evaluate(request, answers, limits, engine, &steps);
      if (outcome.verdict) break;
      fuzz::require(!outcome.missing.empty());
      for (const dns::Question& question : outcome.missing) {
        answers.put(question, zone.answer(question));
      }
      fuzz::require(answers.size() <= static_cast<std::size_t>(limits.dns_queries) + 20);
    }
  }
  return 0;
}
