// The grammar of SPF records and explanations (RFC 7208 section 12), checked before the library
// sees a single octet of them (docs/decisions: pitfalls of libspf2). Pure, linear in the input.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "core/base/result.h"

namespace spf {

// Does a TXT record claim to be SPF (RFC 7208 4.5)? "v=spf1", then the end or a space.
bool is_spf_record(std::string_view txt);

// What stands in the record that the library is given in place of a domain-spec (or of none, which
// means the current domain). The library never sees a text from outside.
enum class NameUse { kQuery, kPtr };
using NameFor = std::function<std::string(std::string_view domain_spec, NameUse use)>;

// The record in the one form that the library is given: known mechanisms in lower case up to the
// first `all`, then `redirect` (unless there is an `all`, RFC 7208 6.1) and `exp`; unknown
// modifiers are gone, every domain-spec is replaced. The error says which term is wrong.
base::Result<std::string> checked_record(std::string_view record, const NameFor& name_for);

// An explanation text (RFC 7208 6.2): visible ASCII, spaces and well-formed macros.
base::Status check_explanation(std::string_view text);

}  // namespace spf
