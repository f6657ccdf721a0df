// IP addresses as SPF compares and writes them. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace spf {

struct Address {
  bool v6 = false;
  std::array<std::uint8_t, 16> octets{};  // of a v4 address the first four
};

// Strict text forms: four decimal numbers without leading zeros, or RFC 4291 2.2 without a zone.
std::optional<Address> parse_v4(std::string_view text);
std::optional<Address> parse_v6(std::string_view text);
// A client: either form; a v4-mapped v6 address is the v4 address (RFC 7208 5).
std::optional<Address> parse_client(std::string_view text);

// The usual form: dotted decimal, RFC 5952.
std::string text_of(const Address& address);
// Macro `i` (RFC 7208 7.3): dotted decimal, or 32 nibbles with dots between.
std::string dotted(const Address& address);
// Where PTR records of the address are (RFC 1035 3.5, RFC 3596 2.5); lower case.
std::string reverse_name(const Address& address);

// Are the first `prefix` bits the same? Never for addresses of two families.
bool is_within(const Address& address, const Address& network, unsigned prefix);

}  // namespace spf
