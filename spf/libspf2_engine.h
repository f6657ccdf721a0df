// libspf2 behind our grammar and lookup layer: a second opinion on our own evaluator. The only file
// pair that sees the library (docs/decisions: libspf2 behind aliases). Thread-safe: every call has
// objects of its own.
#pragma once

#include "spf/finding.h"
#include "spf/lookup.h"
#include "spf/macros.h"

namespace spf {

// The same contract as check_host() in evaluator.h.
Finding check_host_libspf2(const MacroFacts& facts, Lookup& lookup);

}  // namespace spf
