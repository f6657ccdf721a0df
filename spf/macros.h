// Macro expansion (RFC 7208 section 7), done by us: the library drops a character where `%{o2}`
// meets a name of two labels, and has an open memory bug there. Pure.
#pragma once

#include <string>
#include <string_view>

namespace spf {

struct MacroFacts {
  std::string ip;  // canonical text
  bool v6 = false;
  std::string local;
  std::string sender_domain;
  std::string domain;  // the domain whose record is evaluated
  std::string helo;
  std::string receiver;
  std::string validated;  // %{p}: the client's proven name, "unknown" without one
};

// `text` has passed the grammar (record_grammar.h). At most 4096 octets come out.
std::string expand_macros(std::string_view text, const MacroFacts& facts);

// Does it use %{p}, the one macro that asks DNS?
bool uses_validated_name(std::string_view text);

// The name under which PTR records of an address are (RFC 1035 3.5, RFC 3596 2.5).
std::string reverse_name(std::string_view ip, bool v6);

}  // namespace spf
