#include "spf/record.h"

#include <algorithm>
#include <optional>
#include <string>

#include "core/base/bytes.h"

namespace spf {
namespace {

constexpr std::string_view kVersion = "v=spf1";
// RFC 7208 3.4 wants answers of 512 octets; generated records of many strings are longer.
constexpr std::size_t kRecordOctetsMax = 16 * 1024;
constexpr std::size_t kExplanationOctetsMax = 1024;
constexpr unsigned kPrefixMaxV4 = 32;
constexpr unsigned kPrefixMaxV6 = 128;

constexpr std::string_view kLetters = "slodiphv";
constexpr std::string_view kLettersOfExplanations = "slodiphvcrt";  // RFC 7208 7.2

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_alnum(char c) { return is_digit(c) || is_alpha(c); }

// RFC 7208 7.1 macro-expand at the start of `text`: its length, or nothing where it is malformed.
std::optional<std::size_t> macro_length(std::string_view text, std::string_view letters) {
  if (text.size() < 2) return std::nullopt;
  if (text[1] == '%' || text[1] == '_' || text[1] == '-') return 2;
  if (text[1] != '{' || text.size() < 4) return std::nullopt;
  if (letters.find(base::ascii_lower(text[2])) == std::string_view::npos) return std::nullopt;
  std::size_t at = 3;
  bool nonzero = false;
  const std::size_t digits_at = at;
  for (; at < text.size() && is_digit(text[at]); ++at) nonzero = nonzero || text[at] != '0';
  if (at != digits_at && !nonzero) return std::nullopt;  // RFC 7208 7.3: not zero
  if (at < text.size() && base::ascii_lower(text[at]) == 'r') ++at;
  const std::string_view delimiters = ".-+,/_=";
  while (at < text.size() && delimiters.find(text[at]) != std::string_view::npos) ++at;
  if (at >= text.size() || text[at] != '}') return std::nullopt;
  return at + 1;
}

// RFC 7208 7.1 macro-string. Gives where the literal text after the last macro begins.
std::optional<std::size_t> literal_tail(std::string_view text, std::string_view letters) {
  std::size_t tail = 0;
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] != '%') {
      ++at;
      continue;
    }
    const auto length = macro_length(text.substr(at), letters);
    if (!length) return std::nullopt;
    at += *length;
    tail = at;
  }
  return tail;
}

// RFC 7208 7.1 domain-spec: ends in a macro or in a top label behind a dot. What is wrong with it,
// or nullptr.
const char* domain_spec_error(std::string_view text) {
  if (text.empty()) return "the domain is missing";
  const auto tail_at = literal_tail(text, kLetters);
  if (!tail_at) return "a macro is malformed";
  std::string_view tail = text.substr(*tail_at);
  if (tail.empty()) return nullptr;
  if (tail.back() == '.') tail.remove_suffix(1);
  const auto dot = tail.rfind('.');
  if (dot == std::string_view::npos) return "the domain has no dot before its last label";
  const std::string_view label = tail.substr(dot + 1);
  const bool characters =
      !label.empty() && is_alnum(label.front()) && is_alnum(label.back()) &&
      std::all_of(label.begin(), label.end(), [](char c) { return is_alnum(c) || c == '-'; });
  if (!characters) return "the last label of the domain is malformed";
  if (std::all_of(label.begin(), label.end(), is_digit)) {
    return "the last label of the domain is a number (for an address write ip4:)";
  }
  return nullptr;
}

// RFC 7208 12 ip4-cidr-length, ip6-cidr-length: no leading zeros, at most `max`.
std::optional<unsigned> prefix_length(std::string_view digits, unsigned max) {
  if (digits.empty() || digits.size() > 3) return std::nullopt;
  if (digits.size() > 1 && digits.front() == '0') return std::nullopt;
  const auto value = base::parse_unsigned(digits);
  if (!value || *value > max) return std::nullopt;
  return static_cast<unsigned>(*value);
}

// The digits at the end of `text`.
std::string_view trailing_digits(std::string_view text) {
  std::size_t at = text.size();
  while (at > 0 && is_digit(text[at - 1])) --at;
  return text.substr(at);
}

// Cuts `/24`, `//64` or `/24//64` off the end of `text` (RFC 7208 12 dual-cidr-length).
bool cut_prefixes(std::string_view& text, Mechanism& mechanism) {
  const auto cut = [&text](std::string_view slashes, unsigned max, unsigned& prefix) {
    const std::string_view digits = trailing_digits(text);
    const std::string_view before = text.substr(0, text.size() - digits.size());
    if (digits.empty() || !before.ends_with(slashes)) return true;
    const auto length = prefix_length(digits, max);
    if (!length) return false;
    prefix = *length;
    text = before.substr(0, before.size() - slashes.size());
    return true;
  };
  return cut("//", kPrefixMaxV6, mechanism.prefix_v6) &&
         cut("/", kPrefixMaxV4, mechanism.prefix_v4);
}

// `argument` is what stands behind the colon of ip4 or ip6.
const char* read_network(std::string_view argument, Mechanism& mechanism) {
  const bool v6 = mechanism.kind == Kind::kIp6;
  const auto slash = argument.find('/');
  const auto network =
      v6 ? parse_v6(argument.substr(0, slash)) : parse_v4(argument.substr(0, slash));
  if (!network) return "the address is malformed";
  mechanism.network = *network;
  if (slash == std::string_view::npos) return nullptr;
  const auto length = prefix_length(argument.substr(slash + 1), v6 ? kPrefixMaxV6 : kPrefixMaxV4);
  if (!length) return "the prefix length is malformed";
  (v6 ? mechanism.prefix_v6 : mechanism.prefix_v4) = *length;
  return nullptr;
}

// What stands behind a mechanism's name, with its colon or slash. What is wrong, or nullptr.
const char* read_arguments(std::string_view rest, Mechanism& mechanism) {
  const auto read_domain = [&mechanism](std::string_view text) -> const char* {
    if (text.empty() || text.front() != ':') return "it takes no such argument";
    mechanism.domain_spec = text.substr(1);
    return domain_spec_error(mechanism.domain_spec);
  };
  switch (mechanism.kind) {
    case Kind::kAll:
      return rest.empty() ? nullptr : "it takes no argument";
    case Kind::kInclude:
    case Kind::kExists:
      return rest.empty() ? "the domain is missing" : read_domain(rest);
    case Kind::kPtr:
      return rest.empty() ? nullptr : read_domain(rest);
    case Kind::kA:
    case Kind::kMx:
      if (!cut_prefixes(rest, mechanism)) return "the prefix length is malformed";
      return rest.empty() ? nullptr : read_domain(rest);
    case Kind::kIp4:
    case Kind::kIp6:
      if (rest.empty() || rest.front() != ':') return "the address is missing";
      return read_network(rest.substr(1), mechanism);
  }
  return "unknown mechanism";
}

constexpr Kind kKinds[] = {Kind::kAll, Kind::kInclude, Kind::kA,   Kind::kMx,
                           Kind::kPtr, Kind::kIp4,     Kind::kIp6, Kind::kExists};

// A directive (RFC 7208 12). What is wrong with it, or nullptr.
const char* read_mechanism(std::string_view term, Mechanism& mechanism) {
  mechanism.text = term;
  std::string_view body = term;
  if (std::string_view("+-?~").find(body.front()) != std::string_view::npos) {
    mechanism.qualifier = static_cast<Qualifier>(body.front());
    body.remove_prefix(1);
  }
  const auto name_end = std::min(body.find_first_of(":/"), body.size());
  const auto* const kind = std::find_if(std::begin(kKinds), std::end(kKinds), [&](Kind candidate) {
    return base::iequals(body.substr(0, name_end), name(candidate));
  });
  if (kind == std::end(kKinds)) return "there is no such mechanism";
  mechanism.kind = *kind;
  return read_arguments(body.substr(name_end), mechanism);
}

// RFC 7208 12: `name "=" ...`, the "=" before any ":" or "/" (4.6.1).
bool is_modifier(std::string_view term) {
  const auto equals = term.find_first_of("=:/%");
  if (equals == std::string_view::npos || term[equals] != '=' || equals == 0) return false;
  const std::string_view name = term.substr(0, equals);
  return is_alpha(name.front()) && std::all_of(name.begin(), name.end(), [](char c) {
           return is_alnum(c) || c == '-' || c == '_' || c == '.';
         });
}

const char* read_modifier(std::string_view term, Record& record) {
  const auto equals = term.find('=');
  const std::string_view name = term.substr(0, equals);
  const std::string_view value = term.substr(equals + 1);
  const bool redirect = base::iequals(name, "redirect");
  if (redirect || base::iequals(name, "exp")) {
    std::string_view& place = redirect ? record.redirect : record.explanation;
    if (!place.empty()) return "it stands there twice";  // RFC 7208 6
    place = value;
    return domain_spec_error(value);
  }
  // Unknown ones are ignored (RFC 7208 6), also what their macros would mean.
  return literal_tail(value, kLettersOfExplanations) ? nullptr : "a macro is malformed";
}

}  // namespace

std::string_view name(Kind kind) {
  switch (kind) {
    case Kind::kAll:
      return "all";
    case Kind::kInclude:
      return "include";
    case Kind::kA:
      return "a";
    case Kind::kMx:
      return "mx";
    case Kind::kPtr:
      return "ptr";
    case Kind::kIp4:
      return "ip4";
    case Kind::kIp6:
      return "ip6";
    case Kind::kExists:
      return "exists";
  }
  return "all";
}

bool is_spf_record(std::string_view txt) {
  return base::istarts_with(txt, kVersion) &&
         (txt.size() == kVersion.size() || txt[kVersion.size()] == ' ');
}

base::Result<Record> parse_record(std::string_view text) {
  if (!is_spf_record(text)) return base::error("not an SPF record");
  if (text.size() > kRecordOctetsMax) return base::error("the SPF record is too long");
  Record record;
  for (const std::string_view term : base::parts(text.substr(kVersion.size()), ' ')) {
    if (term.empty()) continue;
    const char* wrong = nullptr;
    if (!std::all_of(term.begin(), term.end(), [](char c) { return c > 0x20 && c < 0x7f; })) {
      wrong = "characters outside visible ASCII";
    } else if (is_modifier(term)) {
      wrong = read_modifier(term, record);
    } else {
      Mechanism mechanism;
      wrong = read_mechanism(term, mechanism);
      record.has_all = record.has_all || (wrong == nullptr && mechanism.kind == Kind::kAll);
      record.mechanisms.push_back(mechanism);
    }
    if (wrong != nullptr) {
      return base::error("malformed term '" + base::printable(term, 60) + "': " + wrong);
    }
  }
  return record;
}

base::Status check_explanation(std::string_view text) {
  if (text.empty() || text.size() > kExplanationOctetsMax) {
    return base::error("the explanation is empty or too long");
  }
  if (!std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; })) {
    return base::error("the explanation has characters outside printable ASCII");
  }
  if (!literal_tail(text, kLettersOfExplanations)) {
    return base::error("the explanation has a malformed macro");
  }
  return base::Ok{};
}

}  // namespace spf
