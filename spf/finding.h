// What an engine gives back to spf::evaluate().
#pragma once

#include <string>

#include "spf/spf.h"

namespace spf {

// What an engine found. Means nothing while `Lookup::missing()` has questions.
struct Finding {
  Result result = Result::kNone;
  std::string reason;
  // Of a fail: the exp= of the record that decided (RFC 7208 6.2) and whose record it is.
  std::string explanation;  // domain-spec; "" where there is none
  std::string explanation_domain;
};

}  // namespace spf
