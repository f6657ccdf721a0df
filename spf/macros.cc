#include "spf/macros.h"

#include <algorithm>
#include <vector>

#include "core/base/bytes.h"

namespace spf {
namespace {

constexpr std::size_t kExpandedOctetsMax = 4096;

constexpr std::size_t kKeptMax = 1000;  // more parts than any value has

bool is_digit(char c) { return c >= '0' && c <= '9'; }

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
      return dotted(facts.client);
    case 'p':
      return facts.validated;
    case 'v':
      return facts.client.v6 ? "ip6" : "in-addr";
    case 'h':
      return facts.helo;
    case 'c':
      return facts.ip;
    case 'r':
      return facts.receiver;
    default:
      return std::to_string(facts.wall_s);  // t
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
    keep = std::min(keep * 10 + static_cast<std::size_t>(macro[at++] - '0'), kKeptMax);
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

bool uses_any_of(std::string_view text, std::string_view letters) {
  for (auto at = text.find('%'); at != std::string_view::npos && at + 1 < text.size();
       at = text.find('%', at + 2)) {
    if (text[at + 1] != '{' || at + 2 >= text.size()) continue;
    if (letters.find(base::ascii_lower(text[at + 2])) != std::string_view::npos) return true;
  }
  return false;
}

}  // namespace

std::string expand_macros(std::string_view text, const MacroFacts& facts, bool* too_long) {
  std::string result;
  if (too_long != nullptr) *too_long = false;
  for (std::size_t at = 0; at < text.size();) {
    if (result.size() > kExpandedOctetsMax) {
      if (too_long != nullptr) *too_long = true;
      break;
    }
    if (text[at] != '%' || at + 1 >= text.size()) {
      const auto end = std::min(text.find('%', at + 1), text.size());
      result += text.substr(at, end - at);
      at = end;
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
  return result;
}

bool uses_validated_name(std::string_view text) { return uses_any_of(text, "p"); }

bool uses_local_part(std::string_view text) { return uses_any_of(text, "sl"); }

}  // namespace spf
