// What MIME writes inside one field or one part, made readable: parameters (RFC 2045, 2231),
// encoded words (RFC 2047), transfer encodings (RFC 2045 section 6) and charsets. The work is
// GMime's; here it is given bounded input only and can never fail: what cannot be read comes out
// replaced. The structure of a message is mime_parts' affair. Any thread.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace tickets {

struct ContentType {
  std::string type = "text/plain";  // lower case; RFC 2045 5.2's default where it is unreadable
  std::string charset;              // "" where not said
  std::string boundary;             // "" where not said
  std::optional<std::string> name;  // RFC 2231 decoded
  [[nodiscard]] bool is(std::string_view other) const { return type == other; }
  [[nodiscard]] bool is_multipart() const { return type.starts_with("multipart/"); }
};
// Of an unfolded field body; "" gives the default.
ContentType parse_content_type(std::string_view field_body);

struct Disposition {
  bool attachment = false;
  std::optional<std::string> filename;  // RFC 2231 decoded
};
Disposition parse_disposition(std::string_view field_body);

// Encoded words decoded (RFC 2047), valid UTF-8; input beyond 16 KiB is not looked at.
std::string decode_unstructured(std::string_view unfolded);

// `bytes` in `charset` as UTF-8 with line feeds alone at the ends of lines and no NUL, cut at
// `octets_max` on a character's edge; `cut` is set where something was cut. An unknown charset, or
// none, is read as UTF-8 where the bytes are that, as windows-1252 otherwise.
std::string to_readable(std::string_view bytes, std::string_view charset, std::size_t octets_max,
                        bool& cut);

// Valid UTF-8 without NUL; for header values.
std::string clean(std::string_view text);

// Content-Transfer-Encoding, pushed through in pieces. Moves, does not copy.
class TransferDecoder {
 public:
  // The field's body; "", 7bit, 8bit, binary and whatever is unknown pass unchanged.
  explicit TransferDecoder(std::string_view encoding);
  ~TransferDecoder();
  TransferDecoder(TransferDecoder&&) noexcept;
  TransferDecoder& operator=(TransferDecoder&&) noexcept;
  // Valid until the next call; pieces may be of any size.
  std::string_view decode(std::string_view piece);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tickets
