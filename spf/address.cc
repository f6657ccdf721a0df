#include "spf/address.h"

#include <arpa/inet.h>

#include <algorithm>

#include "core/base/bytes.h"

namespace spf {
namespace {

constexpr std::size_t kV4Octets = 4;
constexpr std::size_t kTextOctetsMax = 45;  // 2001:db8:...:255.255.255.255

std::optional<Address> parse(std::string_view text, bool v6) {
  if (text.empty() || text.size() > kTextOctetsMax) return std::nullopt;
  std::array<char, kTextOctetsMax + 1> terminated{};
  std::copy(text.begin(), text.end(), terminated.begin());
  if (text.find('\0') != std::string_view::npos) return std::nullopt;
  Address address;
  address.v6 = v6;
  const int family = v6 ? AF_INET6 : AF_INET;
  if (inet_pton(family, terminated.data(), address.octets.data()) != 1) return std::nullopt;
  return address;
}

}  // namespace

std::optional<Address> parse_v4(std::string_view text) { return parse(text, false); }
std::optional<Address> parse_v6(std::string_view text) { return parse(text, true); }

std::optional<Address> parse_client(std::string_view text) {
  if (const auto v4 = parse_v4(text)) return v4;
  const auto v6 = parse_v6(text);
  if (!v6) return std::nullopt;
  constexpr std::array<std::uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (!std::equal(kMapped.begin(), kMapped.end(), v6->octets.begin())) return v6;
  Address v4;
  std::copy(v6->octets.begin() + kMapped.size(), v6->octets.end(), v4.octets.begin());
  return v4;
}

std::string text_of(const Address& address) {
  std::array<char, INET6_ADDRSTRLEN> buffer{};
  inet_ntop(address.v6 ? AF_INET6 : AF_INET, address.octets.data(), buffer.data(), buffer.size());
  return buffer.data();
}

std::string dotted(const Address& address) {
  if (!address.v6) return text_of(address);
  std::string text;
  for (const std::uint8_t octet : address.octets) {
    for (const int nibble : {octet >> 4, octet & 15}) {
      if (!text.empty()) text += '.';
      text += "0123456789ABCDEF"[static_cast<std::size_t>(nibble)];
    }
  }
  return text;
}

std::string reverse_name(const Address& address) {
  const std::string text = base::ascii_lower(dotted(address));
  std::string name;
  auto parts = base::split(text, '.');
  std::reverse(parts.begin(), parts.end());
  for (const std::string_view part : parts) {
    name += part;
    name += '.';
  }
  return name + (address.v6 ? "ip6.arpa" : "in-addr.arpa");
}

bool is_within(const Address& address, const Address& network, unsigned prefix) {
  if (address.v6 != network.v6) return false;
  const std::size_t octets = address.v6 ? address.octets.size() : kV4Octets;
  const std::size_t whole = std::min<std::size_t>(prefix / 8, octets);
  if (!std::equal(address.octets.begin(), address.octets.begin() + whole, network.octets.begin())) {
    return false;
  }
  const unsigned rest = prefix % 8;
  if (rest == 0 || whole == octets) return true;
  return (address.octets[whole] ^ network.octets[whole]) >> (8 - rest) == 0;
}

}  // namespace spf
