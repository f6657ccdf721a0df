// From DNS to the grammar: the record of a domain, the name a domain-spec stands for, the text of
// an explanation. Both engines use it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "spf/lookup.h"
#include "spf/macros.h"
#include "spf/record.h"
#include "spf/spf.h"

namespace spf {

// RFC 7208 4.4 to 4.6. Without a record: none, temperror or permerror, and why.
struct Fetched {
  std::optional<Record> record;  // views into the answer
  Result error = Result::kNone;
  std::string reason;
};
Fetched fetch_record(Lookup& lookup, const std::string& domain);

// A term's target-name (RFC 7208 4.8).
struct Target {
  bool stop = false;                // Lookup::State::kStop
  std::optional<std::string> name;  // absent: nothing in DNS can have that name
  // The term matches nothing, whatever it is: it has a local part that is not ASCII (RFC 8616 4).
  bool never_matches = false;
};
// An empty domain-spec is `facts.domain`. Fills `facts.validated` where %{p} is used; then the
// question for the client's names counts as a term unless it was asked before (RFC 7208 4.6.4).
Target expand_target(std::string_view domain_spec, MacroFacts& facts, Lookup& lookup);

// RFC 7208 6.2: the text, ready for a reply: printable US-ASCII, at most 512 octets; "" where there
// is none or it is not usable. Questions that are missing are in `lookup`; limits passed here
// change nothing about the result. `facts.domain` is the domain whose record has the exp=.
std::string fetch_explanation(std::string_view domain_spec, MacroFacts& facts, Lookup& lookup);

}  // namespace spf
