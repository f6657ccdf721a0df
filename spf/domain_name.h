// Domain names as SPF meets them: in envelopes, in records, after macro expansion. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace spf {

// The domain an evaluation can start with (RFC 7208 4.3): at least two labels of at most 63 octets,
// letters, digits, `-` and `_`, a top label that is not a number; lower case, A-labels, no trailing
// dot. nullopt where it is none.
std::optional<std::string> checkable_domain(std::string_view text);

// The name to ask DNS for after macro expansion: lower case, no trailing dot, cut from the left to
// 253 octets (RFC 7208 7.3). nullopt where no such name can exist.
std::optional<std::string> query_name(std::string_view expanded);

}  // namespace spf
