#include "spf/macros.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "core/base/bytes.h"

namespace spf {
namespace {

constexpr std::size_t kExpandedOctetsMax = 4096;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// RFC 7208 7.3 `i`: a v6 address is 32 nibbles with dots between.
std::string nibbles(std::string_view ip) {
  std::array<unsigned char, 16> octets{};
  if (inet_pton(AF_INET6, std::string(ip).c_str(), octets.data()) != 1) return {};
  std::string text;
  for (const unsigned char octet : octets) {
    for (const int nibble : {octet >> 4, octet & 15}) {
      if (!text.empty()) text += '.';
      text += "0123456789abcdef"[static_cast<std::size_t>(nibble)];
    }
  }
  return text;
}

std::string value_of(char letter, const MacroFacts& facts) {
  switch (letter) {
    case 's':
      return facts.local + "@" + facts.sender_domain;
    case 'l':
      return facts.local;
    case 'o':
      return facts.sender_domain;
    case 'd':
      return facts.domain;
    case 'i':
      return facts.v6 ? nibbles(facts.ip) : facts.ip;
    case 'p':
      return facts.validated;
    case 'v':
      return facts.v6 ? "ip6" : "in-addr";
    case 'h':
      return facts.helo;
    case 'c':
      return facts.ip;
    case 'r':
      return facts.receiver;
    default:
      return "0";  // `t`: an evaluation is a function of its inputs and has no clock
  }
}

// RFC 3986 2.3: all but the unreserved characters.
std::string url_escaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    const bool plain = is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       std::string_view("-._~").find(c) != std::string_view::npos;
    escaped += plain ? std::string(1, c)
                     : "%" + base::ascii_upper(base::hex_encode(std::string_view(&c, 1)));
  }
  return escaped;
}

// One `%{...}` without its braces: letter, digits, `r`, delimiters.
std::string expand_one(std::string_view macro, const MacroFacts& facts) {
  const char letter = base::ascii_lower(macro.front());
  std::size_t at = 1;
  std::size_t keep = 0;
  while (at < macro.size() && is_digit(macro[at])) {
    keep = keep * 10 + static_cast<std::size_t>(macro[at++] - '0');
  }
  const bool reverse = at < macro.size() && base::ascii_lower(macro[at]) == 'r';
  if (reverse) ++at;
  std::string_view delimiters = macro.substr(at);
  if (delimiters.empty()) delimiters = ".";

  const std::string value = value_of(letter, facts);
  std::string result;
  if (keep == 0 && !reverse && delimiters == ".") {
    result = value;
  } else {
    std::vector<std::string_view> parts;
    std::string_view rest = value;
    for (;;) {
      const auto end = rest.find_first_of(delimiters);
      parts.push_back(rest.substr(0, end));
      if (end == std::string_view::npos) break;
      rest.remove_prefix(end + 1);
    }
    if (reverse) std::reverse(parts.begin(), parts.end());
    const std::size_t first = keep == 0 || keep >= parts.size() ? 0 : parts.size() - keep;
    for (std::size_t i = first; i < parts.size(); ++i) {
      if (i > first) result += '.';
      result += parts[i];
    }
  }
  return letter == macro.front() ? result : url_escaped(result);
}

}  // namespace

std::string expand_macros(std::string_view text, const MacroFacts& facts) {
  std::string result;
  for (std::size_t at = 0; at < text.size() && result.size() < kExpandedOctetsMax;) {
    if (text[at] != '%' || at + 1 >= text.size()) {
      result += text[at++];
      continue;
    }
    const char kind = text[at + 1];
    const auto end = kind == '{' ? text.find('}', at) : at + 1;
    if (end == std::string_view::npos) break;
    if (kind == '{') {
      result += expand_one(text.substr(at + 2, end - at - 2), facts);
    } else {
      result += kind == '_' ? " " : kind == '-' ? "%20" : "%";
    }
    at = end + 1;
  }
  if (result.size() > kExpandedOctetsMax) result.resize(kExpandedOctetsMax);
  return result;
}

bool uses_validated_name(std::string_view text) {
  return base::ascii_lower(text).find("%{p") != std::string::npos;
}

std::string reverse_name(std::string_view ip, bool v6) {
  const std::string text = v6 ? nibbles(ip) : std::string(ip);
  auto parts = base::split(text, '.');
  std::reverse(parts.begin(), parts.end());
  std::string name;
  for (const std::string_view part : parts) {
    name += part;
    name += '.';
  }
  return name + (v6 ? "ip6.arpa" : "in-addr.arpa");
}

}  // namespace spf
