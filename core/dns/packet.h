// Reading a DNS message (RFC 1035 section 4) that came from outside, and judging names. Pure; every
// length is checked, compression only goes backwards. Private to core/dns.
#pragma once

#include <string>
#include <string_view>

#include "core/dns/answers.h"

namespace dns {

// What `packet` answers to `question`: the records of its type whose owner is where the question's
// CNAME chain ends. A packet that cannot be read is kServFail.
Answer read_answer(std::string_view packet, const Question& question);

// Can `name` (RFC 1035 5.1 escapes, no trailing dot) be asked for? Labels of 1 to 63 octets, 255
// with their lengths, no NUL in the text.
bool is_valid_name(std::string_view name);

}  // namespace dns
