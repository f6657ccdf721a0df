// Small pure functions over bytes and ASCII text. No locale anywhere.
#pragma once

#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace base {

// ASCII only; bytes above 0x7f are left alone.
char ascii_lower(char c);
std::string ascii_lower(std::string_view text);
std::string ascii_upper(std::string_view text);
bool iequals(std::string_view a, std::string_view b);
bool istarts_with(std::string_view text, std::string_view prefix);
bool is_ascii(std::string_view text);

// Spaces, tabs, CR and LF at both ends.
std::string_view trim(std::string_view text);
// Splits at every `separator`; keeps empty parts; "" gives one empty part.
std::vector<std::string_view> split(std::string_view text, char separator);

// The same parts, one after the other, for those who walk over them once.
class Parts {
 public:
  class Iterator {
   public:
    using value_type = std::string_view;
    using difference_type = std::ptrdiff_t;
    Iterator(std::string_view text, char separator) : rest_(text), separator_(separator) { cut(); }
    std::string_view operator*() const { return part_; }
    Iterator& operator++() {
      at_end_ = part_.size() == rest_.size();
      if (at_end_) return *this;
      rest_.remove_prefix(part_.size() + 1);
      cut();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return at_end_; }

   private:
    void cut() { part_ = rest_.substr(0, rest_.find(separator_)); }

    std::string_view rest_, part_;
    char separator_;
    bool at_end_ = false;
  };

  [[nodiscard]] Iterator begin() const { return {text_, separator_}; }
  [[nodiscard]] std::default_sentinel_t end() const { return {}; }

 private:
  friend Parts parts(std::string_view text, char separator);
  Parts(std::string_view text, char separator) : text_(text), separator_(separator) {}

  std::string_view text_;
  char separator_;
};
inline Parts parts(std::string_view text, char separator) { return {text, separator}; }

// RFC 4648 section 4, with padding. Decoding is strict: no white space, no missing or excess
// padding, no non-zero trailing bits; nullopt otherwise.
std::string base64_encode(std::string_view bytes);
std::optional<std::string> base64_decode(std::string_view text);
// RFC 4648 section 5, without padding.
std::string base64url_encode(std::string_view bytes);
void append_base64url(std::string& to, std::string_view bytes);
std::string hex_encode(std::string_view bytes);
void append_hex(std::string& to, std::string_view bytes);
std::optional<std::string> hex_decode(std::string_view text);

// Decimal digits only, no sign; nullopt on anything else and on overflow.
std::optional<std::uint64_t> parse_unsigned(std::string_view text);

// Time does not depend on where the bytes differ (it does on the lengths).
bool constant_time_equal(std::string_view a, std::string_view b);

// Is `text` well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates)?
bool is_utf8(std::string_view text);
// The same text with every ill-formed sequence replaced by U+FFFD.
std::string to_utf8(std::string_view text);

// For logs and replies: control characters become '?', cut at `octets_max`.
std::string printable(std::string_view text, std::size_t octets_max = 200);

}  // namespace base
