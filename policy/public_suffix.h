// The public suffix list (publicsuffix.org), by libpsl: the system's list where it is newer than
// the one built into the library. Read once, at the first call; any thread.
#pragma once

#include <string>

namespace policy {

// RFC 7489 3.2: one label below the longest public suffix of `domain` (normalized: lower case,
// A-labels). A public suffix is its own; so is every name where there is no list at all, so that
// nothing aligns by mistake.
std::string registrable_domain(const std::string& domain);

}  // namespace policy
