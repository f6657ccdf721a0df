#include "dkim/signature_field.h"

#include <algorithm>
#include <optional>

#include "core/base/bytes.h"
#include "core/mail/address.h"
#include "dkim/tag_list.h"

namespace dkim {
namespace {

constexpr std::size_t kFieldOctetsMax = 16384;
constexpr std::size_t kShownOctetsMax = 255;
constexpr std::size_t kSelectorOctetsMax = 190;

std::string shown(const std::string* value) {
  return value == nullptr ? "" : base::printable(without_blanks(*value), kShownOctetsMax);
}

bool is_name(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  });
}

bool is_number(const std::string* value, std::size_t digits_max) {
  return value == nullptr ||
         (value->size() <= digits_max && base::parse_unsigned(*value).has_value());
}

bool covers_from(std::string_view list) {
  for (const std::string_view one : base::split(list, ':')) {
    if (base::iequals(base::trim(one), "from")) return true;
  }
  return false;
}

// `i=` must be within `d=` (RFC 6376 3.5).
bool is_within(std::string_view identity, std::string_view domain) {
  const auto at = identity.rfind('@');
  if (at == std::string_view::npos) return false;
  const std::string host = base::ascii_lower(identity.substr(at + 1));
  return host == domain || host.ends_with("." + std::string(domain));
}

// What is wrong with a parsed signature; nothing where it can be verified.
std::optional<std::string> problem_of(const TagList& tags, const SignatureField& field) {
  for (const char* required : {"v", "a", "b", "bh", "d", "h", "s"}) {
    const std::string* value = tags.find(required);
    if (value == nullptr || value->empty()) return std::string("tag ") + required + " is missing";
  }
  if (*tags.find("v") != "1") return "unknown version";
  if (field.key_name.empty()) return "the domain or the selector is no name";
  if (!base::base64_decode(field.signature)) return "tag b is no base64";
  const auto hash = base::base64_decode(without_blanks(*tags.find("bh")));
  if (!hash) return "tag bh is no base64";
  if (!covers_from(*tags.find("h"))) return "the From field is not signed";
  if (!is_number(tags.find("l"), 19) || !is_number(tags.find("t"), 12) ||
      !is_number(tags.find("x"), 12)) {
    return "tag l, t or x is no number";
  }
  if (const std::string* c = tags.find("c")) {
    const auto methods = base::split(*c, '/');
    for (const std::string_view method : methods) {
      if (methods.size() > 2 ||
          (!base::iequals(method, "simple") && !base::iequals(method, "relaxed"))) {
        return "unknown canonicalisation";
      }
    }
  }
  if (const std::string* i = tags.find("i"); i != nullptr) {
    if (!is_within(without_blanks(*i), base::ascii_lower(field.verdict.domain))) {
      return "the identity is outside the signing domain";
    }
  }
  return std::nullopt;
}

}  // namespace

SignatureField read_signature(std::string_view field_body) {
  SignatureField field;
  SignatureVerdict& verdict = field.verdict;
  verdict.result = Result::kPermError;
  if (field_body.size() > kFieldOctetsMax) {
    verdict.reason = "the signature field is too long";
    return field;
  }
  const auto tags = TagList::parse(field_body);
  if (!tags.ok()) {
    verdict.reason = "malformed signature: " + tags.message();
    return field;
  }
  verdict.selector = shown(tags->find("s"));
  verdict.algorithm = base::ascii_lower(shown(tags->find("a")));
  verdict.domain = shown(tags->find("d"));
  verdict.identity = shown(tags->find("i"));
  if (verdict.identity.empty()) verdict.identity = "@" + verdict.domain;
  if (const std::string* b = tags->find("b")) field.signature = without_blanks(*b);
  verdict.signature_start = base::printable(field.signature.substr(0, 8));

  if (auto domain = mail::normalize_domain(verdict.domain);
      domain.ok() && domain->find('.') != std::string::npos && is_name(verdict.selector) &&
      verdict.selector.size() <= kSelectorOctetsMax) {
    verdict.domain = domain.take();
    field.key_name = base::ascii_lower(verdict.selector) + "._domainkey." + verdict.domain;
  }
  if (auto problem = problem_of(*tags, field)) {
    verdict.reason = *problem;
    return field;
  }
  field.well_formed = true;
  if (verdict.algorithm == "rsa-sha1") {
    verdict.reason = "rsa-sha1 proves nothing any more (RFC 8301 3.1)";
  } else if (verdict.algorithm != "rsa-sha256" && verdict.algorithm != "ed25519-sha256") {
    verdict.reason = "unknown algorithm";
    field.well_formed = false;
  } else {
    field.verifiable = true;
    verdict.result = Result::kNone;
  }
  return field;
}

}  // namespace dkim
