// Our own check_host() (RFC 7208 section 4) over the answers that are there: the default engine.
#pragma once

#include "spf/finding.h"
#include "spf/lookup.h"
#include "spf/macros.h"

namespace spf {

// `facts.domain` is where the check starts, a checkable_domain(). Recursion is bounded by the limit
// of 10 terms.
Finding check_host(MacroFacts facts, Lookup& lookup);

}  // namespace spf
