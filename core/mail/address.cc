#include "core/mail/address.h"

#include <arpa/inet.h>
#include <idn2.h>

#include <array>
#include <cstdint>

#include "core/base/bytes.h"

namespace mail {
namespace {

constexpr std::size_t kLocalMax = 64;        // RFC 5321 4.5.3.1.1
constexpr std::size_t kDomainMax = 255;      // RFC 5321 4.5.3.1.2
constexpr std::size_t kDomainNameMax = 253;  // RFC 1035 2.3.4, as text
constexpr std::size_t kLabelMax = 63;
constexpr std::size_t kMailboxMax = 254;  // RFC 5321 4.5.3.1.3, less the brackets
constexpr std::size_t kListMax = 10'000;  // mailboxes of one header field
constexpr int kCommentDepthMax = 32;

bool is_utf8_octet(char c) { return (c & 0x80) != 0; }

bool is_alnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_atext(char c) {  // RFC 5322 3.2.3, RFC 6532 3.2
  return is_alnum(c) || is_utf8_octet(c) ||
         std::string_view("!#$%&'*+-/=?^_`{|}~").find(c) != std::string_view::npos;
}

bool is_domain_char(char c) {  // RFC 5321 4.1.2, and the underscore that real hosts use
  return is_alnum(c) || c == '-' || c == '_' || is_utf8_octet(c);
}

// Reads a text from left to right; `at` never passes the end.
struct Cursor {
  std::string_view text;
  std::size_t at = 0;

  [[nodiscard]] bool done() const { return at == text.size(); }
  [[nodiscard]] char peek() const { return done() ? '\0' : text[at]; }
  bool take(char c) {
    if (done() || text[at] != c) return false;
    ++at;
    return true;
  }
  [[nodiscard]] std::string_view since(std::size_t start) const {
    return text.substr(start, at - start);
  }
};

// A run of `accept`ed characters, with single dots between; "" where there is none.
template <typename Accept>
std::string_view take_dotted(Cursor& in, Accept accept) {
  const std::size_t start = in.at;
  for (;;) {
    const std::size_t part = in.at;
    while (!in.done() && accept(in.peek())) ++in.at;
    if (in.at == part) return {};
    if (!in.take('.')) return in.since(start);
  }
}

// RFC 5321 4.1.2 Quoted-string, RFC 5322 3.2.4; with its quotes. "" where it is none.
std::string_view take_quoted(Cursor& in) {
  const std::size_t start = in.at;
  if (!in.take('"')) return {};
  while (!in.done()) {
    const char c = in.peek();
    ++in.at;
    if (c == '"') return in.since(start);
    if (c == '\\') {
      if (in.done() || static_cast<unsigned char>(in.peek()) < 32) return {};
      ++in.at;
    } else if ((static_cast<unsigned char>(c) < 32 && c != '\t') || c == 0x7f) {
      return {};
    }
  }
  return {};
}

bool is_address_literal(std::string_view inside) {
  std::array<std::uint8_t, 16> binary{};
  if (base::istarts_with(inside, "IPv6:")) {
    return inet_pton(AF_INET6, std::string(inside.substr(5)).c_str(), binary.data()) == 1;
  }
  return inet_pton(AF_INET, std::string(inside).c_str(), binary.data()) == 1;
}

// RFC 5321 4.1.3: [192.0.2.1], [IPv6:2001:db8::1]; with its brackets. "" where it is none.
std::string_view take_literal(Cursor& in) {
  const std::size_t start = in.at;
  if (!in.take('[')) return {};
  const std::size_t end = in.text.find(']', in.at);
  if (end == std::string_view::npos) return {};
  if (!is_address_literal(in.text.substr(in.at, end - in.at))) return {};
  in.at = end + 1;
  return in.since(start);
}

// Why it is no domain name of ASCII; "" where it is one.
std::string_view domain_fault(std::string_view name) {
  if (name.empty() || name.size() > kDomainNameMax) return "a domain name has 1 to 253 characters";
  for (const std::string_view label : base::parts(name, '.')) {
    if (label.empty() || label.size() > kLabelMax) {
      return "each part of a domain name has 1 to 63 characters";
    }
    for (const char c : label) {
      if (!is_alnum(c) && c != '-' && c != '_') {
        return "a domain name has letters, digits, hyphens and dots only";
      }
    }
  }
  return {};
}

base::Status check_lengths(const Address& address) {
  if (address.local.size() > kLocalMax) {
    return base::error("the part before the @ is longer than 64 octets");
  }
  if (address.domain.size() > kDomainMax) {
    return base::error("the domain is longer than 255 octets");
  }
  if (address.local.size() + 1 + address.domain.size() > kMailboxMax) {
    return base::error("the address is longer than 254 octets");
  }
  return base::Ok{};
}

base::Status check_address(const Address& address, bool utf8) {
  if (address.is_internationalized()) {
    if (!utf8) return base::error("the address has non-ASCII characters, which need SMTPUTF8");
    if (!base::is_utf8(address.local) || !base::is_utf8(address.domain)) {
      return base::error("the address is not valid UTF-8");
    }
  }
  if (address.is_literal()) return base::Ok{};
  if (domain_fault(address.domain).empty()) return base::Ok{};  // as a rule
  if (const auto domain = normalize_domain(address.domain); !domain) return domain.error();
  return base::Ok{};
}

base::Result<Address> take_mailbox(Cursor& in, bool utf8) {
  Address address;
  address.local = in.peek() == '"' ? take_quoted(in) : take_dotted(in, is_atext);
  if (address.local.empty()) return base::error("the part before the @ is malformed");
  if (!in.take('@')) return base::error("the address has no @");
  address.domain = in.peek() == '[' ? take_literal(in) : take_dotted(in, is_domain_char);
  if (address.domain.empty()) return base::error("the domain is malformed");
  if (const auto checked = check_lengths(address); !checked) return checked.error();
  if (const auto checked = check_address(address, utf8); !checked) return checked.error();
  return address;
}

// RFC 5321 4.1.2 A-d-l: "@one,@two:" in front of the mailbox.
bool skip_source_route(Cursor& in) {
  if (in.peek() != '@') return true;
  do {
    if (!in.take('@') || take_dotted(in, is_domain_char).empty()) return false;
  } while (in.take(','));
  return in.take(':');
}

// ---- RFC 5322 address lists --------------------------------------------------------------------

// Comments and folding white space (RFC 5322 3.2.2). False where a comment does not end.
bool skip_cfws(Cursor& in) {
  int depth = 0;
  while (!in.done()) {
    const char c = in.peek();
    if (c == '(') {
      if (++depth > kCommentDepthMax) return false;
    } else if (depth > 0 && c == ')') {
      --depth;
    } else if (depth > 0 && c == '\\') {
      ++in.at;
      if (in.done()) return false;
    } else if (depth == 0 && c != ' ' && c != '\t' && c != '\r' && c != '\n') {
      return true;
    }
    ++in.at;
  }
  return depth == 0;
}

// Words and dots in front of '<', '@', ':' or ','. `local` is what they make as a local part
// (RFC 5322 4.4 obs-local-part: words joined by dots), "" where they make none. Dots may also stand
// doubled and at the ends: some providers give such addresses out, and a field that cannot be read
// hides its domain from every check.
struct Words {
  bool any = false;
  std::string local;
};

base::Result<Words> take_words(Cursor& in) {
  Words words;
  bool as_local = true;
  bool expect_word = true;
  bool has_word = false;
  for (;;) {
    if (!skip_cfws(in)) return base::error("a comment does not end");
    std::string_view word;
    if (in.peek() == '"') {
      word = take_quoted(in);
      if (word.empty()) return base::error("a quoted string does not end");
    } else if (in.take('.')) {
      expect_word = true;
      words.any = true;
      words.local += '.';
      continue;
    } else {
      const std::size_t start = in.at;
      while (!in.done() && is_atext(in.peek())) ++in.at;
      word = in.since(start);
      if (word.empty()) break;
    }
    if (!expect_word) as_local = false;
    expect_word = false;
    has_word = true;
    words.any = true;
    words.local += word;
  }
  if (!as_local || !has_word) words.local.clear();
  return words;
}

base::Result<std::string> take_header_domain(Cursor& in) {
  std::string domain;
  if (!skip_cfws(in)) return base::error("a comment does not end");
  if (in.peek() == '[') {
    domain = take_literal(in);
  } else {
    for (;;) {
      const std::size_t start = in.at;
      while (!in.done() && is_domain_char(in.peek())) ++in.at;
      if (in.at == start) break;
      domain += in.since(start);
      if (!skip_cfws(in)) return base::error("a comment does not end");
      if (!in.take('.')) break;
      if (!skip_cfws(in)) return base::error("a comment does not end");
      domain += '.';
    }
  }
  if (domain.empty()) return base::error("the domain is malformed");
  return domain;
}

base::Result<Address> make_header_address(std::string local, Cursor& in) {
  if (local.empty()) return base::error("the part before the @ is malformed");
  if (!in.take('@')) return base::error("an address has no @");
  auto domain = take_header_domain(in);
  if (!domain) return domain.error();
  Address address{std::move(local), domain.take()};
  if (const auto checked = check_address(address, true); !checked) return checked.error();
  return address;
}

// RFC 5322 3.4 angle-addr, behind its '<'.
base::Result<Address> take_angle_address(Cursor& in) {
  if (!skip_cfws(in)) return base::error("a comment does not end");
  if (in.peek() == '@') {  // obs-route
    const std::size_t colon = in.text.find_first_of(":>", in.at);
    if (colon == std::string_view::npos || in.text[colon] != ':') {
      return base::error("a source route does not end");
    }
    in.at = colon + 1;
  }
  auto words = take_words(in);
  if (!words) return words.error();
  auto address = make_header_address(std::move(words->local), in);
  if (!address) return address;
  if (!skip_cfws(in)) return base::error("a comment does not end");
  if (!in.take('>')) return base::error("an address in < > does not end");
  return address;
}

// An address without < >. Some programs write it twice, the first time as a display name without
// its quotes: `a@b.example <a@b.example>`. Two different addresses are refused: which of them is
// shown depends on the reader.
base::Result<Address> take_bare_address(std::string local, Cursor& in) {
  auto address = make_header_address(std::move(local), in);
  if (!address || !skip_cfws(in) || !in.take('<')) return address;
  auto again = take_angle_address(in);
  if (!again) return again;
  if (!base::iequals(address->str(), again->str())) {
    return base::error("two addresses stand where one is expected");
  }
  return again;
}

bool is_dot_atom(std::string_view text) {
  Cursor in{text};
  return !take_dotted(in, is_atext).empty() && in.done();
}

}  // namespace

bool Address::is_internationalized() const {
  return !base::is_ascii(local) || !base::is_ascii(domain);
}

base::Result<Address> parse_mailbox(std::string_view text, bool utf8) {
  Cursor in{text};
  auto address = take_mailbox(in, utf8);
  if (address && !in.done()) return base::error("something stands behind the address");
  return address;
}

base::Result<Path> parse_path(std::string_view text, bool utf8, bool allow_postmaster) {
  Cursor in{text};
  if (!in.take('<')) return base::error("the address must stand in < >");
  Path path;
  if (in.take('>')) {
    path.rest = text.substr(in.at);
    return path;
  }
  if (!skip_source_route(in)) return base::error("the source route is malformed");
  constexpr std::string_view kPostmaster = "postmaster>";
  if (allow_postmaster && base::istarts_with(text.substr(in.at), kPostmaster)) {
    path.address.local = text.substr(in.at, kPostmaster.size() - 1);
    path.rest = text.substr(in.at + kPostmaster.size());
    return path;
  }
  auto address = take_mailbox(in, utf8);
  if (!address) return address.error();
  if (!in.take('>')) return base::error("the address does not end in >");
  path.address = address.take();
  path.rest = text.substr(in.at);
  return path;
}

base::Result<std::vector<Address>> parse_address_list(std::string_view field_body) {
  std::vector<Address> list;
  Cursor in{field_body};
  bool in_group = false;
  bool need_separator = false;
  for (;;) {
    if (!skip_cfws(in)) return base::error("a comment does not end");
    if (in.done()) break;
    if (in.take(',')) {
      need_separator = false;
      continue;
    }
    if (in_group && in.take(';')) {
      in_group = false;
      need_separator = true;
      continue;
    }
    if (need_separator) return base::error("a comma is missing between two addresses");
    auto words = take_words(in);
    if (!words) return words.error();
    if (words->any && in.take(':')) {
      if (in_group) return base::error("a group stands inside a group");
      in_group = true;
      continue;
    }
    auto address =
        in.take('<') ? take_angle_address(in) : take_bare_address(std::move(words->local), in);
    if (!address) return address.error();
    if (list.size() == kListMax) return base::error("there are too many addresses");
    list.push_back(address.take());
    need_separator = true;
  }
  if (in_group) return base::error("a group does not end");
  return list;
}

base::Result<std::string> normalize_domain(std::string_view domain) {
  if (domain.find('\0') != std::string_view::npos) return base::error("a NUL in a domain name");
  if (domain.starts_with('[')) return base::ascii_lower(domain);
  if (domain.ends_with('.')) domain.remove_suffix(1);
  std::string name = base::ascii_lower(domain);
  if (!base::is_ascii(domain)) {
    std::uint8_t* ascii = nullptr;
    const std::string text(domain);
    const int status = idn2_lookup_u8(reinterpret_cast<const std::uint8_t*>(text.c_str()), &ascii,
                                      IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
    if (status != IDN2_OK) {
      return base::error(std::string("not an internationalized domain name: ") +
                         idn2_strerror(status));
    }
    name = base::ascii_lower(reinterpret_cast<const char*>(ascii));
    idn2_free(ascii);
  }
  if (const auto fault = domain_fault(name); !fault.empty()) return base::error(std::string(fault));
  return name;
}

base::Result<std::string> normalize_address(const Address& address) {
  auto domain = normalize_domain(address.domain);
  if (!domain) return domain;
  std::string_view local = address.local;
  std::string inside;
  if (local.size() > 2 && local.front() == '"') {
    for (std::size_t i = 1; i + 1 < local.size(); ++i) {
      if (local[i] == '\\') ++i;
      inside += local[i];
    }
    if (is_dot_atom(inside)) local = inside;
  }
  std::string name;
  name.reserve(local.size() + 1 + domain->size());
  for (const char c : local) name += base::ascii_lower(c);
  name += '@';
  return name += *domain;
}

std::optional<std::string> normalized_mailbox(std::string_view text) {
  const auto parsed = parse_mailbox(text);
  if (!parsed) return std::nullopt;
  auto name = normalize_address(*parsed);
  if (!name) return std::nullopt;
  return name.take();
}

}  // namespace mail
