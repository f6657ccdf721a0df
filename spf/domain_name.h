// Domain names as SPF meets them: in envelopes, in records, after macro expansion. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace spf {

// The domain a check can start with (RFC 7208 4.3): at least two labels of at most 63 octets,
// letters, digits, `-` and `_`, a top label that is not a number; lower case, A-labels, no trailing
// dot. nullopt where it is none.
std::optional<std::string> checkable_domain(std::string_view text);

// The target-name of a term (RFC 7208 4.8) after macro expansion: lower case, no trailing dot, cut
// from the left to 253 octets (7.3). nullopt where DNS cannot have such a name.
std::optional<std::string> target_name(std::string_view expanded);

// Can check_host() be called for a target-name (RFC 7208 4.3)? It needs two labels.
bool has_two_labels(std::string_view target);

// How a question about a target-name writes it: blanks and backslashes as RFC 1035 5.1 says, like
// the names in dns::Answer.
std::string question_name(std::string_view target);

// Is `name` the domain or below it? Neither has a trailing dot; case does not matter.
bool is_at_or_below(std::string_view name, std::string_view domain);

}  // namespace spf
