#include "policy/results_field.h"

#include <algorithm>

#include "core/base/bytes.h"

namespace policy {
namespace {

constexpr std::size_t kFieldOctetsMax = 16384;
constexpr std::size_t kMethodsMax = 100;
constexpr std::size_t kPropertiesMax = 30;  // of one method

struct Token {
  enum class Kind { kWord, kQuoted, kEquals, kSemicolon, kEnd, kBad };
  Kind kind = Kind::kEnd;
  std::string text;
  bool glued = false;  // nothing stands between it and the token before
};

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
bool is_word_char(char c) {
  const auto octet = static_cast<unsigned char>(c);
  return octet > 0x20 && octet != 0x7f && std::string_view("()\";=").find(c) == std::string::npos;
}

// Words, quoted strings, `=` and `;`; comments (RFC 5322 3.2.2, nested) and blanks between them are
// gone.
class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  Token next() {
    const std::size_t before = at_;
    if (!skip_blanks_and_comments()) return {Token::Kind::kBad, {}};
    Token token = read();
    token.glued = before > 0 && before == started_;
    return token;
  }

 private:
  Token read() {
    started_ = at_;
    if (at_ >= text_.size()) return {};
    const char c = text_[at_];
    if (c == '=') return ++at_, Token{Token::Kind::kEquals, "="};
    if (c == ';') return ++at_, Token{Token::Kind::kSemicolon, ";"};
    if (c == '"') return quoted();
    if (!is_word_char(c)) return {Token::Kind::kBad, {}};
    const std::size_t begin = at_;
    while (at_ < text_.size() && is_word_char(text_[at_])) ++at_;
    return {Token::Kind::kWord, std::string(text_.substr(begin, at_ - begin))};
  }

  bool skip_blanks_and_comments() {
    int depth = 0;
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (depth > 0 && c == '\\') {
        ++at_;
      } else if (c == '(') {
        ++depth;
      } else if (c == ')' && depth > 0) {
        --depth;
      } else if (depth == 0 && !is_blank(c)) {
        break;
      }
    }
    return depth == 0;
  }

  Token quoted() {
    Token token{Token::Kind::kQuoted, {}};
    for (++at_; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '"') return ++at_, token;
      if (c == '\r' || c == '\n') continue;  // folding inside the quotes
      if (c == '\\' && at_ + 1 < text_.size()) ++at_;
      token.text += text_[at_];
    }
    return {Token::Kind::kBad, {}};
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t started_ = 0;  // where the last token did
};

bool is_text(const Token& token) {
  return token.kind == Token::Kind::kWord || token.kind == Token::Kind::kQuoted;
}

std::string as_id(std::string_view text) {
  std::string id = base::ascii_lower(base::trim(text));
  if (id.ends_with('.')) id.pop_back();
  return id;
}

// "spf/1" names version 1 of the method; there is no other (RFC 8601 2.2).
std::optional<std::string> method_name(std::string_view text) {
  const auto slash = text.find('/');
  const std::string_view name = text.substr(0, slash);
  if (name.empty()) return std::nullopt;
  if (slash != std::string_view::npos && text.substr(slash + 1) != "1") return std::nullopt;
  return base::ascii_lower(name);
}

// What stands between two semicolons, as tokens.
using Part = std::vector<Token>;

// Method, ptype and property are keywords (RFC 8601 2.2).
bool is_name(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '/';
  });
}

// name = value, at `at`; a name may be in pieces, as in `header . d`.
struct Pair {
  std::string name, value;
};
std::optional<Pair> read_pair(const Part& part, std::size_t& at) {
  Pair pair;
  while (at < part.size() && part[at].kind == Token::Kind::kWord) {
    const std::string& piece = part[at].text;
    const bool joins = pair.name.empty() || pair.name.ends_with('.') || piece.starts_with('.') ||
                       pair.name.ends_with('/') || piece.starts_with('/');
    if (!joins) return std::nullopt;
    pair.name += piece;
    ++at;
  }
  if (!is_name(pair.name) || at + 1 >= part.size() || part[at].kind != Token::Kind::kEquals ||
      !is_text(part[at + 1])) {
    return std::nullopt;
  }
  pair.value = part[at + 1].text;
  at += 2;
  // What follows without a blank belongs to it: the domain of a quoted local part, or the padding
  // of base64 that nobody quoted. Anything else would be read differently by different readers.
  for (; at < part.size() && part[at].glued; ++at) {
    const bool is_domain = part[at].kind == Token::Kind::kWord && part[at].text.starts_with('@') &&
                           part[at - 1].kind == Token::Kind::kQuoted;
    if (!is_domain && part[at].kind != Token::Kind::kEquals) return std::nullopt;
    pair.value += part[at].text;
  }
  return pair;
}

std::optional<MethodResult> read_method(const Part& part) {
  std::size_t at = 0;
  const auto first = read_pair(part, at);
  if (!first) return std::nullopt;
  const auto name = method_name(first->name);
  if (!name) return std::nullopt;
  MethodResult method{*name, base::ascii_lower(first->value), {}};
  while (at < part.size()) {
    auto pair = read_pair(part, at);
    if (!pair || method.properties.size() >= kPropertiesMax) return std::nullopt;
    std::string property = base::ascii_lower(pair->name);
    // Which of two would count depends on the reader.
    const bool known = std::any_of(method.properties.begin(), method.properties.end(),
                                   [&](const auto& one) { return one.first == property; });
    if (known) return std::nullopt;
    method.properties.emplace_back(std::move(property), std::move(pair->value));
  }
  return method;
}

}  // namespace

std::string_view MethodResult::property(std::string_view name) const {
  for (const auto& [key, value] : properties) {
    if (key == name) return value;
  }
  return {};
}

std::optional<std::string> authserv_id_of(std::string_view body) {
  const Token id = Lexer(body.substr(0, kFieldOctetsMax)).next();
  if (id.kind == Token::Kind::kQuoted) return as_id(id.text);
  // A name ends where a token of RFC 2045 5.1 ends, so that "relay.example.net/1" is one of ours.
  const std::string name = id.text.substr(0, id.text.find_first_of("<>@,:\\/[]?"));
  if (id.kind != Token::Kind::kWord || name.empty() || !base::is_ascii(name)) return std::nullopt;
  return as_id(name);
}

std::optional<ResultsField> parse_results_field(std::string_view body) {
  if (body.size() > kFieldOctetsMax) return std::nullopt;
  std::vector<Part> parts(1);
  Lexer lexer(body);
  for (;;) {
    Token token = lexer.next();
    if (token.kind == Token::Kind::kBad) return std::nullopt;
    if (token.kind == Token::Kind::kEnd) break;
    if (token.kind == Token::Kind::kSemicolon) {
      if (parts.size() > kMethodsMax) return std::nullopt;
      parts.emplace_back();
    } else {
      parts.back().push_back(std::move(token));
    }
  }
  ResultsField field;
  const Part& id = parts.front();
  const bool has_version = id.size() == 2 && id.back().kind == Token::Kind::kWord;
  if (id.empty() || !is_text(id.front()) || (id.size() != 1 && !has_version)) return std::nullopt;
  if (has_version && id.back().text != "1") return std::nullopt;  // RFC 8601 2.2 authres-version
  field.authserv_id = as_id(id.front().text);
  for (std::size_t i = 1; i < parts.size(); ++i) {
    const Part& part = parts[i];
    if (part.empty()) continue;  // a final `;` is common
    if (part.size() == 1 && base::iequals(part.front().text, "none")) continue;
    auto method = read_method(part);
    if (!method) return std::nullopt;
    field.methods.push_back(std::move(*method));
  }
  return field;
}

}  // namespace policy
