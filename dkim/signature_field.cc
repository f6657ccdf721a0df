#include "dkim/signature_field.h"

#include <algorithm>
#include <array>

#include "core/base/bytes.h"
#include "core/mail/address.h"
#include "dkim/tag_list.h"

namespace dkim {
namespace {

constexpr std::size_t kFieldOctetsMax = 16384;
constexpr std::size_t kShownOctetsMax = 255;
constexpr std::size_t kNameOctetsMax = 253;  // of a name in DNS
constexpr std::size_t kTimeDigitsMax = 12;   // RFC 6376 3.5, t= and x=
constexpr std::size_t kLengthDigitsMax = 76;

// What libopendkim takes whole (its buffer for h= has 4096 octets) and in bounded time.
constexpr std::size_t kPlainListOctetsMax = 4000;
constexpr std::size_t kPlainNamesMax = 256;

using Problem = std::optional<std::string>;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_alnum(char c) { return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

std::string shown(const TagList& tags, std::string_view name) {
  const std::string* value = tags.find(name);
  return value == nullptr ? "" : base::printable(without_blanks(*value), kShownOctetsMax);
}

// RFC 6376 3.5 domain-name and selector: labels of letters, digits and inner hyphens. The
// underscore that real hosts use is taken, too. In lower case, A-labels (U-labels: RFC 8616 5).
std::optional<std::string> name_of(std::string_view text, std::size_t labels_min) {
  if (text.empty() || text.front() == '[' || text.back() == '.') return std::nullopt;
  auto name = mail::normalize_domain(text);
  if (!name.ok()) return std::nullopt;
  const auto labels = base::split(*name, '.');
  for (const std::string_view label : labels) {
    if (label.front() == '-' || label.back() == '-') return std::nullopt;
  }
  if (labels.size() < labels_min) return std::nullopt;
  return name.take();
}

// RFC 6376 2.11 dkim-quoted-printable; folding white space says nothing.
std::optional<std::string> decode_quoted_printable(std::string_view text) {
  const std::string packed = without_blanks(text);
  std::string out;
  for (std::size_t i = 0; i < packed.size(); ++i) {
    if (packed[i] != '=') {
      out += packed[i];
      continue;
    }
    const auto octet = base::hex_decode(std::string_view(packed).substr(i + 1, 2));
    if (!octet || octet->size() != 1) return std::nullopt;
    out += *octet;
    i += 2;
  }
  return out;
}

// RFC 5321 4.1.2 Local-part, RFC 6531 3.3; it may be empty here.
bool is_local_part(std::string_view text) {
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') {
    const std::string_view inside = text.substr(1, text.size() - 2);
    for (std::size_t i = 0; i < inside.size(); ++i) {
      if (static_cast<unsigned char>(inside[i]) < 0x20 || inside[i] == '"') return false;
      if (inside[i] == '\\' && ++i == inside.size()) return false;
    }
    return true;
  }
  if (text.empty()) return true;
  constexpr std::string_view kMarks = "!#$%&'*+-/=?^_`{|}~.";
  return text.front() != '.' && text.back() != '.' && text.find("..") == std::string_view::npos &&
         std::all_of(text.begin(), text.end(), [&](char c) {
           return is_alnum(c) || (c & 0x80) != 0 || kMarks.find(c) != std::string_view::npos;
         });
}

bool is_within(std::string_view name, std::string_view domain) {
  return name == domain || (name.ends_with(domain) && name.size() > domain.size() &&
                            name[name.size() - domain.size() - 1] == '.');
}

// A field that is read tag by tag (RFC 6376 6.1.1). Each step says what is wrong, or nothing.
class Reader {
 public:
  Reader(const TagList& tags, SignatureField& field, std::int64_t now_s)
      : tags_(tags), field_(field), now_s_(now_s) {}

  Problem read() {
    for (const auto step : {&Reader::required, &Reader::version, &Reader::names, &Reader::octets,
                            &Reader::signed_fields, &Reader::canonicalization, &Reader::query,
                            &Reader::identity, &Reader::length, &Reader::times}) {
      if (Problem problem = (this->*step)()) return problem;
    }
    return std::nullopt;
  }

 private:
  [[nodiscard]] const std::string& value(std::string_view name) const { return *tags_.find(name); }

  Problem required() {
    for (const char* name : {"v", "a", "b", "bh", "d", "h", "s"}) {
      const std::string* there = tags_.find(name);
      if (there == nullptr) return std::string("tag ") + name + " is missing";
      if (there->empty()) return std::string("tag ") + name + " is empty";
    }
    return std::nullopt;
  }

  Problem version() {
    if (value("v") != "1") return "unknown version in tag v";
    return std::nullopt;
  }

  Problem names() {
    const auto domain = name_of(value("d"), 2);
    if (!domain) return "tag d is no domain name";
    const auto selector = name_of(value("s"), 1);
    if (!selector) return "tag s is no selector";
    field_.verdict.domain = *domain;
    field_.key_name = *selector + "._domainkey." + *domain;
    if (field_.key_name.size() > kNameOctetsMax) return "tags s and d are too long for a DNS name";
    return std::nullopt;
  }

  Problem octets() {
    auto signature = decode_folded_base64(value("b"));
    if (!signature) return "tag b is no base64";
    auto hash = decode_folded_base64(value("bh"));
    if (!hash) return "tag bh is no base64";
    field_.signature = std::move(*signature);
    field_.body_hash = std::move(*hash);
    return std::nullopt;
  }

  Problem signed_fields() {
    bool from = false;
    for (const std::string_view part : base::parts(value("h"), ':')) {
      std::string name = base::ascii_lower(base::trim(part));
      const bool fine = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
        return c > 0x20 && c < 0x7f && c != ';';
      });
      if (!fine) return "tag h is no list of field names";
      from = from || name == "from";
      field_.signed_names.push_back(std::move(name));
    }
    if (!from) return "the From field is not signed";
    return std::nullopt;
  }

  Problem canonicalization() {
    const std::string* c = tags_.find("c");
    if (c == nullptr) return std::nullopt;  // simple/simple
    const auto methods = base::split(*c, '/');
    for (std::size_t i = 0; i < methods.size(); ++i) {
      const bool relaxed = base::iequals(methods[i], "relaxed");
      if (i > 1 || (!relaxed && !base::iequals(methods[i], "simple"))) {
        return "unknown canonicalisation in tag c";
      }
      (i == 0 ? field_.header_method : field_.body_method) =
          relaxed ? Canonical::kRelaxed : Canonical::kSimple;
    }
    return std::nullopt;
  }

  Problem query() {
    const std::string* q = tags_.find("q");
    if (q == nullptr) return std::nullopt;
    for (const std::string_view method : base::parts(*q, ':')) {
      if (base::iequals(base::trim(method), "dns/txt")) return std::nullopt;
    }
    return "no known query method in tag q";
  }

  Problem identity() {
    field_.identity_domain = field_.verdict.domain;
    field_.verdict.identity = "@" + field_.verdict.domain;
    const std::string* i = tags_.find("i");
    if (i == nullptr) return std::nullopt;
    const auto text = decode_quoted_printable(*i);
    const auto at = text ? text->rfind('@') : std::string::npos;
    if (at == std::string::npos) return "tag i is no identity";
    const auto domain = name_of(std::string_view(*text).substr(at + 1), 2);
    if (!domain || !is_local_part(std::string_view(*text).substr(0, at))) {
      return "tag i is no identity";
    }
    field_.verdict.identity = base::printable(*text, kShownOctetsMax);
    field_.identity_domain = *domain;
    if (!is_within(*domain, field_.verdict.domain)) {
      return "the identity (tag i) is outside the signing domain";
    }
    return std::nullopt;
  }

  Problem length() {
    const std::string* l = tags_.find("l");
    if (l == nullptr) return std::nullopt;
    if (l->empty() || l->size() > kLengthDigitsMax ||
        !std::all_of(l->begin(), l->end(), is_digit)) {
      return "tag l is no number";
    }
    field_.body_length = base::parse_unsigned(*l).value_or(BodyHash::kWhole);
    return std::nullopt;
  }

  Problem times() {
    std::array<std::optional<std::int64_t>, 2> values;
    for (const std::size_t i : {0U, 1U}) {
      const std::string name(i == 0 ? "t" : "x");
      const std::string* text = tags_.find(name);
      if (text == nullptr) continue;
      const auto number =
          text->size() > kTimeDigitsMax ? std::nullopt : base::parse_unsigned(*text);
      if (!number) return "tag " + name + " is no time";
      values.at(i) = static_cast<std::int64_t>(*number);
    }
    const auto& [signed_s, expires_s] = values;
    if (signed_s && expires_s && *expires_s <= *signed_s) {
      return "it expires (tag x) before it was made (tag t)";
    }
    field_.in_future = signed_s && *signed_s > now_s_;
    expired_ = expires_s && *expires_s < now_s_;
    return std::nullopt;
  }

  const TagList& tags_;
  SignatureField& field_;
  std::int64_t now_s_;
  bool expired_ = false;

 public:
  [[nodiscard]] bool expired() const { return expired_; }
};

// Where libopendkim 2.11 would come to a wrong answer, or worse: it reads tag names without case,
// the later of two wins; deletes the value of every tag whose name ends in b, but none where a
// blank stands before the `=`; cuts h= at 4096 octets; searches names times fields; knows no UTF-8;
// and takes the signature itself for a signed field where h= names DKIM-Signature (RFC 6376 3.5
// forbids it), after which it can write behind its list of fields.
bool is_plain(std::string_view text, const TagList& tags, const SignatureField& field) {
  constexpr std::array<std::string_view, 14> kKnown = {"v", "a", "b", "bh", "c", "d", "h",
                                                       "i", "l", "q", "s",  "t", "x", "z"};
  const bool known = std::all_of(tags.tags().begin(), tags.tags().end(), [&](const Tag& tag) {
    return std::find(kKnown.begin(), kKnown.end(), tag.name) != kKnown.end();
  });
  const std::size_t equals = tags.find_tag("b")->value_begin - 1;
  const auto& names = field.signed_names;
  return known && equals > 0 && text[equals - 1] == 'b' && base::is_ascii(text) &&
         tags.find("h")->size() <= kPlainListOctetsMax && names.size() <= kPlainNamesMax &&
         std::find(names.begin(), names.end(), "dkim-signature") == names.end();
}

void refuse(SignatureField& field, Result result, std::string reason) {
  field.verdict.result = result;
  field.verdict.reason = std::move(reason);
}

// What a reader of the result wants to know even of a signature that is no good.
void show_names(const TagList& tags, SignatureField& field) {
  SignatureVerdict& verdict = field.verdict;
  verdict.selector = shown(tags, "s");
  verdict.algorithm = base::ascii_lower(shown(tags, "a"));
  verdict.domain = base::ascii_lower(shown(tags, "d"));
  verdict.identity = shown(tags, "i");
  if (verdict.identity.empty()) verdict.identity = "@" + verdict.domain;
  if (const std::string* b = tags.find("b")) {
    verdict.signature_start = base::printable(without_blanks(*b).substr(0, 8));
  }
}

}  // namespace

SignatureField read_signature(std::string_view field_body, std::int64_t now_s) {
  SignatureField field;
  if (field_body.size() > kFieldOctetsMax) {
    refuse(field, Result::kNeutral, "the signature field is too long");
    return field;
  }
  const auto tags = TagList::parse(field_body);
  if (!tags.ok()) {
    refuse(field, Result::kNeutral, "malformed signature: " + tags.message());
    return field;
  }
  show_names(*tags, field);
  if (!base::is_utf8(field_body)) {
    refuse(field, Result::kNeutral, "malformed signature: neither ASCII nor UTF-8");
    return field;
  }
  Reader reader(*tags, field, now_s);
  if (auto problem = reader.read()) {
    refuse(field, Result::kNeutral, std::move(*problem));
    return field;
  }
  const std::string algorithm = base::ascii_lower(*tags->find("a"));
  if (algorithm == "rsa-sha1") {
    refuse(field, Result::kPolicy, "rsa-sha1 proves nothing any more (RFC 8301 3.1)");
  } else if (algorithm != "rsa-sha256" && algorithm != "ed25519-sha256") {
    refuse(field, Result::kNeutral, "unknown algorithm in tag a");
  } else if (reader.expired()) {
    refuse(field, Result::kPermError, "the signature has expired (tag x)");
  } else {
    field.verifiable = true;
    field.plain = is_plain(field_body, *tags, field);
  }
  return field;
}

}  // namespace dkim
