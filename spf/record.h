// The grammar of SPF records and explanations (RFC 7208 section 12), read once into typed values
// that both engines work from. Strict: an error anywhere in the record is an error of the record
// (RFC 7208 4.6). Pure, linear in the input.
#pragma once

#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "spf/address.h"

namespace spf {

enum class Qualifier : char { kPass = '+', kFail = '-', kSoftFail = '~', kNeutral = '?' };

enum class Kind { kAll, kInclude, kA, kMx, kPtr, kIp4, kIp6, kExists };
std::string_view name(Kind kind);  // as records write it, lower case

// Views are into the record's text.
struct Mechanism {
  std::string_view text;  // the whole term as published
  Qualifier qualifier = Qualifier::kPass;
  Kind kind = Kind::kAll;
  std::string_view domain_spec;  // not expanded; "" is the current domain
  Address network;               // ip4, ip6
  unsigned prefix_v4 = 32;       // a, mx, ip4
  unsigned prefix_v6 = 128;      // a, mx, ip6
};

struct Record {
  std::vector<Mechanism> mechanisms;  // in their order, also those behind an `all`
  std::string_view redirect;          // domain-spec; "" where there is none
  std::string_view explanation;       // domain-spec of exp=; "" where there is none
  bool has_all = false;               // then redirect is ignored (RFC 7208 6.1)
};

// Does a TXT record claim to be SPF (RFC 7208 4.5)? "v=spf1", then the end or a space.
bool is_spf_record(std::string_view txt);

// `text` is_spf_record() and must outlive the result. The error says which term is wrong and why.
base::Result<Record> parse_record(std::string_view text);

// An explanation text (RFC 7208 6.2): visible ASCII, spaces and well-formed macros.
base::Status check_explanation(std::string_view text);

}  // namespace spf
