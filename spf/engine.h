// libspf2 behind our own DNS layer: one evaluation of a domain's record for one client. The only
// file pair that sees the library. Thread-safe: every call has objects of its own.
#pragma once

#include <string>

#include "spf/lookup.h"
#include "spf/macros.h"
#include "spf/spf.h"

namespace spf {

// `lookup` says afterwards whether a question is missing; then the verdict means nothing.
// `client.domain` is the domain to check, as checkable_domain() gives it; `validated` is filled
// here. For a fail whose explanation is missing only, `missing_explanation` has its questions.
struct EngineOutcome {
  Verdict verdict;
  std::vector<dns::Question> missing_explanation;
};
EngineOutcome run_engine(const MacroFacts& client, Lookup& lookup);

}  // namespace spf
