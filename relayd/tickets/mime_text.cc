#include "relayd/tickets/mime_text.h"

#include <gmime/gmime.h>
#include <iconv.h>

#include <algorithm>
#include <cerrno>
#include <mutex>

#include "core/base/bytes.h"

namespace tickets {
namespace {

constexpr std::size_t kUnstructuredMax = 16 * 1024;
constexpr std::size_t kNameMax = 255;
constexpr std::size_t kBoundaryMax = 1000;  // RFC 2046 5.1.1 says 70; some write more

void init_gmime() {
  static std::once_flag once;
  std::call_once(once, [] { g_mime_init(); });
}

struct GFree {
  void operator()(char* text) const { g_free(text); }
};
struct GUnref {
  void operator()(void* object) const { g_object_unref(object); }
};

// The longest prefix of at most `octets_max` octets that ends at a character's edge.
std::string_view cut_utf8(std::string_view text, std::size_t octets_max) {
  if (text.size() <= octets_max) return text;
  std::size_t end = octets_max;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end);
}

void replace_nul(std::string& text) {
  if (text.find('\0') == std::string::npos) return;
  std::string out;
  for (const char c : text) {
    if (c == '\0') {
      out += "\xef\xbf\xbd";
    } else {
      out += c;
    }
  }
  text = std::move(out);
}

// A file name for people: never a path's worth of octets, no control characters.
std::optional<std::string> clean_name(const char* text) {
  if (text == nullptr) return std::nullopt;
  std::string name = clean(std::string_view(text).substr(0, 4 * kNameMax));
  std::erase_if(name, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
  name = cut_utf8(name, kNameMax);
  if (name.empty()) return std::nullopt;
  return name;
}

// GMime takes C strings: the field ends at a NUL.
std::string c_string(std::string_view text) { return std::string(text.substr(0, text.find('\0'))); }

// iconv_open(3) takes suffixes and paths of its own; a charset's name (RFC 2978 2.3) has neither.
bool is_charset_name(std::string_view name) {
  return !name.empty() && name.size() <= 40 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= '0' && c <= '9') || (base::ascii_lower(c) >= 'a' && base::ascii_lower(c) <= 'z') ||
           c == '-' || c == '_' || c == '.' || c == ':' || c == '+';
  });
}

bool convert(std::string_view bytes, const char* charset, std::string& out) {
  const iconv_t converter = iconv_open("UTF-8", charset);
  if (converter == reinterpret_cast<iconv_t>(-1)) return false;
  char* in = const_cast<char*>(bytes.data());  // iconv(3) does not write to it
  std::size_t in_left = bytes.size();
  char buffer[4096];
  while (in_left > 0) {
    char* at = buffer;
    std::size_t room = sizeof buffer;
    const std::size_t in_before = in_left;
    const std::size_t result = iconv(converter, &in, &in_left, &at, &room);
    const int reason = errno;
    const auto made = static_cast<std::size_t>(at - buffer);
    out.append(buffer, made);
    if (result != static_cast<std::size_t>(-1)) break;
    if (reason == E2BIG && (made > 0 || in_left < in_before)) continue;
    out += "\xef\xbf\xbd";
    if (reason != EILSEQ) break;  // EINVAL: the text ends inside a character
    ++in;
    --in_left;
  }
  iconv_close(converter);
  return true;
}

std::string to_utf8_text(std::string_view bytes, std::string_view charset) {
  const std::string name = base::ascii_lower(base::trim(charset));
  const bool is_unicode = name == "utf-8" || name == "utf8";
  // 7-bit charsets with shifts are ASCII octets: only a charset known to be a superset is skipped.
  const bool is_default = name.empty() || name == "us-ascii" || name == "ascii";
  if (is_unicode) return base::to_utf8(bytes);
  std::string out;
  if (is_charset_name(name) && !is_default) {
    // What says ISO-8859-1 is windows-1252 in practice, and each octet of the one that matters is
    // the same in the other.
    const std::string known = name == "iso-8859-1" || name == "latin1"
                                  ? "WINDOWS-1252"
                                  : g_mime_charset_iconv_name(name.c_str());
    if (convert(bytes, known.c_str(), out)) return base::to_utf8(out);
    out.clear();
  }
  if (base::is_utf8(bytes)) return std::string(bytes);
  if (convert(bytes, "WINDOWS-1252", out)) return base::to_utf8(out);
  return base::to_utf8(bytes);
}

}  // namespace

ContentType parse_content_type(std::string_view field_body) {
  ContentType out;
  // A type without a subtype is unreadable: RFC 2045 5.2 gives the default.
  if (field_body.find('/') == std::string_view::npos) return out;
  init_gmime();
  const std::unique_ptr<GMimeContentType, GUnref> parsed(
      g_mime_content_type_parse(nullptr, c_string(field_body).c_str()));
  if (!parsed) return out;
  const std::unique_ptr<char, GFree> type(g_mime_content_type_get_mime_type(parsed.get()));
  if (type) out.type = base::ascii_lower(clean(std::string_view(type.get()).substr(0, kNameMax)));
  const auto parameter = [&](const char* name) {
    return g_mime_content_type_get_parameter(parsed.get(), name);
  };
  if (const char* charset = parameter("charset")) out.charset = charset;
  if (const char* boundary = parameter("boundary")) {
    if (std::string_view(boundary).size() <= kBoundaryMax) out.boundary = boundary;
  }
  out.name = clean_name(parameter("name"));
  return out;
}

Disposition parse_disposition(std::string_view field_body) {
  Disposition out;
  if (base::trim(field_body).empty()) return out;
  init_gmime();
  const std::unique_ptr<GMimeContentDisposition, GUnref> parsed(
      g_mime_content_disposition_parse(nullptr, c_string(field_body).c_str()));
  if (!parsed) return out;
  // RFC 2183 2.8: what is not known is an attachment.
  const char* word = g_mime_content_disposition_get_disposition(parsed.get());
  out.attachment = word != nullptr && !base::iequals(word, "inline");
  out.filename = clean_name(g_mime_content_disposition_get_parameter(parsed.get(), "filename"));
  return out;
}

std::string decode_unstructured(std::string_view unfolded) {
  init_gmime();
  const std::string text = c_string(unfolded.substr(0, kUnstructuredMax));
  const std::unique_ptr<char, GFree> decoded(
      g_mime_utils_header_decode_text(nullptr, text.c_str()));
  return clean(decoded ? std::string_view(decoded.get()) : text);
}

std::string to_readable(std::string_view bytes, std::string_view charset, std::size_t octets_max,
                        bool& cut) {
  const std::string text = to_utf8_text(bytes, charset);
  std::string out;
  out.reserve(text.size());
  for (std::string_view rest = text; !rest.empty();) {
    const std::size_t line = std::min(rest.find('\r'), rest.size());
    out += rest.substr(0, line);
    rest.remove_prefix(line);
    if (rest.empty()) break;
    if (!rest.starts_with("\r\n")) out += '\r';
    rest.remove_prefix(1);
  }
  replace_nul(out);
  const std::size_t kept = cut_utf8(out, octets_max).size();
  if (kept < out.size()) {
    cut = true;
    out.resize(kept);
  }
  return out;
}

std::string clean(std::string_view text) {
  std::string out = base::to_utf8(text);
  replace_nul(out);
  return out;
}

struct TransferDecoder::State {
  GMimeEncoding encoding{};
  bool identity = true;
  std::string buffer;
};

TransferDecoder::TransferDecoder(std::string_view encoding) : state_(std::make_unique<State>()) {
  const std::string name = base::ascii_lower(base::trim(encoding));
  GMimeContentEncoding known = GMIME_CONTENT_ENCODING_DEFAULT;
  if (name == "base64") known = GMIME_CONTENT_ENCODING_BASE64;
  if (name == "quoted-printable") known = GMIME_CONTENT_ENCODING_QUOTEDPRINTABLE;
  if (name == "x-uuencode" || name == "uuencode") known = GMIME_CONTENT_ENCODING_UUENCODE;
  if (known == GMIME_CONTENT_ENCODING_DEFAULT) return;
  state_->identity = false;
  g_mime_encoding_init_decode(&state_->encoding, known);
}
TransferDecoder::~TransferDecoder() = default;
TransferDecoder::TransferDecoder(TransferDecoder&&) noexcept = default;
TransferDecoder& TransferDecoder::operator=(TransferDecoder&&) noexcept = default;

std::string_view TransferDecoder::decode(std::string_view piece) {
  if (state_->identity || piece.empty()) return piece;
  const std::size_t room = g_mime_encoding_outlen(&state_->encoding, piece.size());
  if (state_->buffer.size() < room) state_->buffer.resize(room);
  const std::size_t made =
      g_mime_encoding_step(&state_->encoding, piece.data(), piece.size(), state_->buffer.data());
  return std::string_view(state_->buffer).substr(0, made);
}

}  // namespace tickets
