// Relaxed canonicalisation of header fields (RFC 6376 3.4.2). Pure.
#pragma once

#include <string>
#include <string_view>

namespace dkim {

// "name:value" in lower case, unfolded, blanks reduced; without a final CRLF.
std::string relaxed_field(std::string_view name, std::string_view body);

}  // namespace dkim
