#include "core/base/bytes.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace base {
namespace {

constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kBase64Url =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

constexpr std::array<std::int8_t, 256> make_reverse() {
  std::array<std::int8_t, 256> table{};
  for (auto& value : table) value = -1;
  for (std::size_t i = 0; i < kBase64.size(); ++i) {
    table[static_cast<unsigned char>(kBase64[i])] = static_cast<std::int8_t>(i);
  }
  return table;
}
constexpr std::array<std::int8_t, 256> kReverse = make_reverse();

void append_encoded(std::string& out, std::string_view bytes, std::string_view alphabet,
                    bool padded) {
  const std::size_t whole = bytes.size() / 3 * 3;
  const std::size_t rest = bytes.size() - whole;
  const std::size_t last = rest == 0 ? 0 : padded ? 4 : rest + 1;
  const std::size_t start = out.size();
  out.resize(start + whole / 3 * 4 + last, '=');
  char* to = out.data() + start;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  for (std::size_t i = 0; i < whole; i += 3, to += 4) {
    const unsigned v = static_cast<unsigned>(byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2));
    to[0] = alphabet[v >> 18];
    to[1] = alphabet[v >> 12 & 63];
    to[2] = alphabet[v >> 6 & 63];
    to[3] = alphabet[v & 63];
  }
  if (rest == 0) return;
  const unsigned v =
      static_cast<unsigned>(byte(whole) << 16 | (rest == 2 ? byte(whole + 1) << 8 : 0));
  to[0] = alphabet[v >> 18];
  to[1] = alphabet[v >> 12 & 63];
  if (rest == 2) to[2] = alphabet[v >> 6 & 63];
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// How many octets at the start of `text` are ASCII. Eight at a time: nearly all mail is.
std::size_t ascii_prefix(std::string_view text) {
  std::size_t size = 0;
  for (std::uint64_t eight = 0; size + sizeof eight <= text.size(); size += sizeof eight) {
    std::memcpy(&eight, text.data() + size, sizeof eight);
    if ((eight & 0x8080'8080'8080'8080) != 0) break;
  }
  while (size < text.size() && (text[size] & 0x80) == 0) ++size;
  return size;
}

// Length of the well-formed UTF-8 sequence at the start of `text` (RFC 3629 section 4), 0 if none.
std::size_t utf8_sequence(std::string_view text) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto tail = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xbf) {
    return i < text.size() && at(i) >= low && at(i) <= high;
  };
  const unsigned first = at(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return tail(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const unsigned low = first == 0xe0 ? 0xa0 : 0x80;
    const unsigned high = first == 0xed ? 0x9f : 0xbf;
    return tail(1, low, high) && tail(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const unsigned low = first == 0xf0 ? 0x90 : 0x80;
    const unsigned high = first == 0xf4 ? 0x8f : 0xbf;
    return tail(1, low, high) && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

char ascii_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

std::string ascii_lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = ascii_lower(c);
  return out;
}

std::string ascii_upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
  }
  return out;
}

bool iequals(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           return ascii_lower(x) == ascii_lower(y);
         });
}

bool istarts_with(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() && iequals(text.substr(0, prefix.size()), prefix);
}

bool is_ascii(std::string_view text) { return ascii_prefix(text) == text.size(); }

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const auto first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> all;
  all.reserve(1 + static_cast<std::size_t>(std::count(text.begin(), text.end(), separator)));
  for (const std::string_view part : parts(text, separator)) all.push_back(part);
  return all;
}

std::string base64_encode(std::string_view bytes) {
  std::string out;
  append_encoded(out, bytes, kBase64, true);
  return out;
}

std::string base64url_encode(std::string_view bytes) {
  std::string out;
  append_base64url(out, bytes);
  return out;
}

void append_base64url(std::string& to, std::string_view bytes) {
  append_encoded(to, bytes, kBase64Url, false);
}

std::optional<std::string> base64_decode(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  const std::size_t digits = text.size() - padding;
  std::string out(digits * 3 / 4, '\0');
  char* to = out.data();
  unsigned value = 0;
  for (std::size_t i = 0; i < digits; ++i) {
    const int digit = kReverse[static_cast<unsigned char>(text[i])];
    if (digit < 0) return std::nullopt;
    value = value << 6 | static_cast<unsigned>(digit);
    if (i % 4 == 3) {
      *to++ = static_cast<char>(value >> 16 & 0xff);
      *to++ = static_cast<char>(value >> 8 & 0xff);
      *to++ = static_cast<char>(value & 0xff);
      value = 0;
    }
  }
  if (padding == 1) {
    if ((value & 3) != 0) return std::nullopt;
    *to++ = static_cast<char>(value >> 10 & 0xff);
    *to++ = static_cast<char>(value >> 2 & 0xff);
  } else if (padding == 2) {
    if ((value & 15) != 0) return std::nullopt;
    *to++ = static_cast<char>(value >> 4 & 0xff);
  }
  return out;
}

std::string hex_encode(std::string_view bytes) {
  std::string out;
  append_hex(out, bytes);
  return out;
}

void append_hex(std::string& to, std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  to.reserve(to.size() + bytes.size() * 2);
  for (const char c : bytes) {
    to += kDigits[static_cast<unsigned char>(c) >> 4];
    to += kDigits[static_cast<unsigned char>(c) & 15];
  }
}

std::optional<std::string> hex_decode(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  std::string out;
  out.reserve(text.size() / 2);
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = hex_value(text[i]);
    const int low = hex_value(text[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>(high << 4 | low);
  }
  return out;
}

std::optional<std::uint64_t> parse_unsigned(std::string_view text) {
  if (text.empty()) return std::nullopt;
  std::uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    const auto digit = static_cast<std::uint64_t>(c - '0');
    if (value > (UINT64_MAX - digit) / 10) return std::nullopt;
    value = value * 10 + digit;
  }
  return value;
}

bool constant_time_equal(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  volatile unsigned char difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference = static_cast<unsigned char>(difference | (a[i] ^ b[i]));
  }
  return difference == 0;
}

bool is_utf8(std::string_view text) {
  for (;;) {
    text.remove_prefix(ascii_prefix(text));
    if (text.empty()) return true;
    const std::size_t length = utf8_sequence(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
}

std::string to_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (;;) {
    const std::size_t plain = ascii_prefix(text);
    out += text.substr(0, plain);
    text.remove_prefix(plain);
    if (text.empty()) return out;
    const std::size_t length = utf8_sequence(text);
    out += length == 0 ? std::string_view("\xef\xbf\xbd") : text.substr(0, length);
    text.remove_prefix(length == 0 ? 1 : length);
  }
}

namespace {

// How long the sequence is that `text` (UTF-8) begins with, if terminals take it for a command or
// turn what follows around: C1 controls (U+0080 to 9F), line and paragraph separators,
// bidirectional marks (U+2028 to 202E, U+2066 to 2069); else 0.
std::size_t terminal_control(std::string_view text) {
  const auto octet = [&](std::size_t at) {
    return at < text.size() ? static_cast<unsigned char>(text[at]) : 0U;
  };
  if (octet(0) == 0xc2) return octet(1) >= 0x80 && octet(1) < 0xa0 ? 2 : 0;
  if (octet(0) != 0xe2) return 0;
  const bool is_one = (octet(1) == 0x80 && octet(2) >= 0xa8 && octet(2) <= 0xae) ||
                      (octet(1) == 0x81 && octet(2) >= 0xa6 && octet(2) <= 0xa9);
  return is_one ? 3 : 0;
}

std::string without_terminal_controls(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = terminal_control(text);
    out += length == 0 ? text.front() : '?';
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

}  // namespace

std::string printable(std::string_view text, std::size_t octets_max) {
  text = text.substr(0, octets_max);
  const auto is_plain = [](char c) { return c >= 0x20 && c < 0x7f; };
  if (std::all_of(text.begin(), text.end(), is_plain)) return std::string(text);
  std::string out = to_utf8(text);
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return without_terminal_controls(out);
}

}  // namespace base
