#include "spf/record_grammar.h"

#include <arpa/inet.h>

#include <algorithm>
#include <optional>

#include "core/base/bytes.h"

namespace spf {
namespace {

constexpr std::string_view kVersion = "v=spf1";
// RFC 7208 3.4 wants answers of 512 octets; real records of several strings reach 2000.
constexpr std::size_t kRecordOctetsMax = 4096;
constexpr std::size_t kDomainSpecOctetsMax = 250;
constexpr std::size_t kExplanationOctetsMax = 1024;
constexpr std::size_t kTermsMax =
    120;  // the library counts mechanisms in one octet; a /0 makes two
constexpr unsigned kLabelsKeptMax = 127;  // a name has no more labels

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_alnum(char c) { return is_digit(c) || is_alpha(c); }

enum class MacroPlace { kDomainSpec, kExplanation };

// One macro-expand at the start of `text`: its length, or nothing where it is malformed.
std::optional<std::size_t> macro_length(std::string_view text, MacroPlace place) {
  if (text.size() < 2) return std::nullopt;
  if (text[1] == '%' || text[1] == '_' || text[1] == '-') return 2;
  if (text[1] != '{' || text.size() < 4) return std::nullopt;
  const std::string_view letters = place == MacroPlace::kExplanation ? "slodiphvcrt" : "slodiphv";
  if (letters.find(base::ascii_lower(text[2])) == std::string_view::npos) return std::nullopt;
  std::size_t at = 3;
  unsigned kept = 0;
  const std::size_t digits_at = at;
  while (at < text.size() && is_digit(text[at]) && at - digits_at < 4) {
    kept = kept * 10 + static_cast<unsigned>(text[at++] - '0');
  }
  if (at != digits_at && (kept == 0 || kept > kLabelsKeptMax)) return std::nullopt;
  if (at < text.size() && base::ascii_lower(text[at]) == 'r') ++at;
  const std::string_view delimiters = ".-+,/_=";
  while (at < text.size() && delimiters.find(text[at]) != std::string_view::npos) ++at;
  if (at >= text.size() || text[at] != '}') return std::nullopt;
  return at + 1;
}

// RFC 7208 7.1 macro-string. Gives where the literal text after the last macro begins.
std::optional<std::size_t> literal_tail(std::string_view text, MacroPlace place) {
  std::size_t tail = 0;
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] != '%') {
      ++at;
      continue;
    }
    const auto length = macro_length(text.substr(at), place);
    if (!length) return std::nullopt;
    at += *length;
    tail = at;
  }
  return tail;
}

// RFC 7208 7.1 domain-spec: ends in a macro or in a top label behind a dot.
bool is_domain_spec(std::string_view text) {
  if (text.empty() || text.size() > kDomainSpecOctetsMax) return false;
  const auto tail_at = literal_tail(text, MacroPlace::kDomainSpec);
  if (!tail_at) return false;
  std::string_view tail = text.substr(*tail_at);
  if (tail.empty()) return true;
  if (tail.back() == '.') tail.remove_suffix(1);
  const auto dot = tail.rfind('.');
  if (dot == std::string_view::npos) return false;
  const std::string_view label = tail.substr(dot + 1);
  if (label.empty() || !is_alnum(label.front()) || !is_alnum(label.back())) return false;
  return std::all_of(label.begin(), label.end(), [](char c) { return is_alnum(c) || c == '-'; }) &&
         !std::all_of(label.begin(), label.end(), is_digit);
}

// A prefix length without leading zeros, at most `max`.
std::optional<unsigned> prefix_length(std::string_view digits, unsigned max) {
  if (digits.empty() || digits.size() > 3) return std::nullopt;
  if (digits.size() > 1 && digits.front() == '0') return std::nullopt;
  const auto value = base::parse_unsigned(digits);
  if (!value || *value > max) return std::nullopt;
  return static_cast<unsigned>(*value);
}

// Cuts `/24`, `//64` or `/24//64` off the end of `text` (RFC 7208 5.6 dual-cidr-length).
bool cut_dual_cidr(std::string_view& text, std::string& cidr) {
  std::string_view rest = text;
  std::string v6;
  auto digits_at = rest.size();
  const auto back_over_digits = [&] {
    digits_at = rest.size();
    while (digits_at > 0 && is_digit(rest[digits_at - 1])) --digits_at;
  };
  back_over_digits();
  if (digits_at >= 2 && digits_at < rest.size() && rest.substr(digits_at - 2, 2) == "//") {
    if (!prefix_length(rest.substr(digits_at), 128)) return false;
    v6 = std::string(rest.substr(digits_at - 2));
    rest.remove_suffix(rest.size() - (digits_at - 2));
    back_over_digits();
  }
  std::string v4;
  if (digits_at >= 1 && digits_at < rest.size() && rest[digits_at - 1] == '/') {
    if (!prefix_length(rest.substr(digits_at), 32)) return false;
    v4 = std::string(rest.substr(digits_at - 1));
    rest.remove_suffix(rest.size() - (digits_at - 1));
  }
  text = rest;
  cidr = v4 + v6;
  return true;
}

// `ip4:` and `ip6:` with their prefix length. The library takes a length of 0 for "none given", so
// that case is written as the two halves of the address space.
std::optional<std::string> checked_network(std::string_view qualifier, bool v6,
                                           std::string_view argument) {
  const std::string name = std::string(qualifier) + (v6 ? "ip6:" : "ip4:");
  std::string_view address = argument;
  std::optional<unsigned> length;
  if (const auto slash = argument.find('/'); slash != std::string_view::npos) {
    address = argument.substr(0, slash);
    length = prefix_length(argument.substr(slash + 1), v6 ? 128 : 32);
    if (!length) return std::nullopt;
  }
  unsigned char octets[16];
  const std::string text(address);
  if (text.size() > 45 || inet_pton(v6 ? AF_INET6 : AF_INET, text.c_str(), octets) != 1) {
    return std::nullopt;
  }
  if (length == 0U) {
    return v6 ? name + "::/1 " + name + "8000::/1" : name + "0.0.0.0/1 " + name + "128.0.0.0/1";
  }
  return name + text + (length ? "/" + std::to_string(*length) : "");
}

// A mechanism without its qualifier, or nothing where it is malformed or unknown.
std::optional<std::string> checked_mechanism(std::string_view qualifier, std::string_view term,
                                             const NameFor& name_for) {
  const auto name_end = std::min(term.find_first_of(":/"), term.size());
  const std::string name = base::ascii_lower(term.substr(0, name_end));
  const std::string_view rest = term.substr(name_end);
  const bool has_argument = !rest.empty() && rest.front() == ':';
  const std::string_view argument = has_argument ? rest.substr(1) : std::string_view{};
  const std::string head = std::string(qualifier) + name;

  if (name == "all") return rest.empty() ? std::optional(head) : std::nullopt;
  if (name == "ip4" || name == "ip6") {
    if (!has_argument) return std::nullopt;
    return checked_network(qualifier, name == "ip6", argument);
  }
  if (name == "include" || name == "exists") {
    if (!has_argument || !is_domain_spec(argument)) return std::nullopt;
    return head + ":" + name_for(argument, NameUse::kQuery);
  }
  if (name == "ptr") {
    if (!rest.empty() && (!has_argument || !is_domain_spec(argument))) return std::nullopt;
    return head + ":" + name_for(argument, NameUse::kPtr);
  }
  if (name == "a" || name == "mx") {
    std::string_view target = rest;
    std::string cidr;
    if (!cut_dual_cidr(target, cidr)) return std::nullopt;
    if (!target.empty()) {
      if (target.front() != ':' || !is_domain_spec(target.substr(1))) return std::nullopt;
      target.remove_prefix(1);
    }
    return head + ":" + name_for(target, NameUse::kQuery) + cidr;
  }
  return std::nullopt;
}

bool is_modifier(std::string_view term) {
  const auto equals = term.find_first_of("=:/%");
  if (equals == std::string_view::npos || term[equals] != '=' || equals == 0) return false;
  const std::string_view name = term.substr(0, equals);
  return is_alpha(name.front()) && std::all_of(name.begin(), name.end(), [](char c) {
           return is_alnum(c) || c == '-' || c == '_' || c == '.';
         });
}

}  // namespace

bool is_spf_record(std::string_view txt) {
  return base::istarts_with(txt, kVersion) &&
         (txt.size() == kVersion.size() || txt[kVersion.size()] == ' ');
}

base::Result<std::string> checked_record(std::string_view record, const NameFor& name_for) {
  if (!is_spf_record(record)) return base::error("not an SPF record");
  if (record.size() > kRecordOctetsMax) return base::error("the SPF record is too long");
  const auto wrong = [](std::string_view term) {
    return base::error("malformed SPF term: " + base::printable(term, 60));
  };

  std::string mechanisms(kVersion);
  std::string redirect;
  std::string explanation;
  bool has_all = false;
  std::size_t terms = 0;
  for (const std::string_view term : base::split(record.substr(kVersion.size()), ' ')) {
    if (term.empty()) continue;
    if (++terms > kTermsMax) return base::error("the SPF record has too many terms");
    if (!std::all_of(term.begin(), term.end(), [](char c) { return c > 0x20 && c < 0x7f; })) {
      return wrong(term);
    }
    if (is_modifier(term)) {
      const auto equals = term.find('=');
      const std::string name = base::ascii_lower(term.substr(0, equals));
      const std::string_view value = term.substr(equals + 1);
      if (name == "redirect" || name == "exp") {
        std::string& slot = name == "exp" ? explanation : redirect;
        // RFC 7208 6: more than one of them is a syntax error.
        if (!slot.empty() || !is_domain_spec(value)) return wrong(term);
        slot = " " + name + "=" + name_for(value, NameUse::kQuery);
      } else if (!literal_tail(value, MacroPlace::kDomainSpec)) {
        return wrong(term);
      }
      continue;
    }
    const bool qualified = std::string_view("+-?~").find(term.front()) != std::string_view::npos;
    const auto mechanism = checked_mechanism(term.substr(0, qualified ? 1 : 0),
                                             term.substr(qualified ? 1 : 0), name_for);
    if (!mechanism) return wrong(term);
    if (has_all) continue;  // RFC 7208 5.1: mechanisms after "all" are never tested
    has_all = base::iequals(term.substr(qualified ? 1 : 0), "all");
    mechanisms += " " + *mechanism;
  }
  if (!has_all) mechanisms += redirect;
  return mechanisms + explanation;
}

base::Status check_explanation(std::string_view text) {
  if (text.empty() || text.size() > kExplanationOctetsMax) {
    return base::error("the explanation is empty or too long");
  }
  if (!std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; })) {
    return base::error("the explanation has characters outside printable ASCII");
  }
  if (!literal_tail(text, MacroPlace::kExplanation)) {
    return base::error("the explanation has a malformed macro");
  }
  return base::Ok{};
}

}  // namespace spf
