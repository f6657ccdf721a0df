// Macro expansion (RFC 7208 section 7). Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "spf/address.h"

namespace spf {

// What the macros of one check stand for; `domain` and `validated` change with the record.
struct MacroFacts {
  Address client;
  std::string ip;             // the client as text
  std::string local;          // "postmaster" where the sender has none
  std::string sender_domain;  // of the identity that is checked
  std::string domain;         // whose record is evaluated
  std::string helo;
  std::string receiver;
  std::string validated;  // %{p}: the client's proven name, "unknown" without one
  std::int64_t wall_s = 0;
};

// `text` has passed the grammar (record.h). Bounded; `too_long`, where given, says that something
// is missing at the end.
std::string expand_macros(std::string_view text, const MacroFacts& facts, bool* too_long = nullptr);

// Does it use %{p}, the one macro that asks DNS?
bool uses_validated_name(std::string_view text);

// Does it use the local part, %{s} or %{l}?
bool uses_local_part(std::string_view text);

}  // namespace spf
