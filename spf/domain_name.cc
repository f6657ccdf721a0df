#include "spf/domain_name.h"

#include <algorithm>

#include "core/base/bytes.h"
#include "core/mail/address.h"

namespace spf {
namespace {

constexpr std::size_t kNameOctetsMax = 253;
constexpr std::size_t kLabelOctetsMax = 63;
constexpr std::size_t kInputOctetsMax = 1024;

std::string_view without_trailing_dot(std::string_view text) {
  if (!text.empty() && text.back() == '.') text.remove_suffix(1);
  return text;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_host_char(char c) { return (c >= 'a' && c <= 'z') || is_digit(c) || c == '-' || c == '_'; }

}  // namespace

std::optional<std::string> checkable_domain(std::string_view text) {
  if (text.size() > kInputOctetsMax) return std::nullopt;
  std::string name = base::ascii_lower(without_trailing_dot(text));
  if (!base::is_ascii(name)) {
    auto normalized = mail::normalize_domain(name);
    if (!normalized.ok()) return std::nullopt;
    name = normalized.take();
  }
  if (name.size() > kNameOctetsMax) return std::nullopt;
  const auto labels = base::split(name, '.');
  if (labels.size() < 2) return std::nullopt;
  for (const std::string_view label : labels) {
    if (label.empty() || label.size() > kLabelOctetsMax) return std::nullopt;
    if (!std::all_of(label.begin(), label.end(), is_host_char)) return std::nullopt;
  }
  if (std::all_of(labels.back().begin(), labels.back().end(), is_digit)) return std::nullopt;
  return name;
}

std::optional<std::string> target_name(std::string_view expanded) {
  std::string_view name = without_trailing_dot(expanded);
  while (name.size() > kNameOctetsMax) {
    const auto dot = name.find('.');
    if (dot == std::string_view::npos) return std::nullopt;
    name.remove_prefix(dot + 1);
  }
  for (const std::string_view label : base::parts(name, '.')) {
    if (label.empty() || label.size() > kLabelOctetsMax) return std::nullopt;
    for (const char c : label) {
      if (c < ' ' || c >= 0x7f) return std::nullopt;
    }
  }
  return base::ascii_lower(name);
}

bool has_two_labels(std::string_view target) { return target.find('.') != std::string_view::npos; }

std::string question_name(std::string_view target) {
  std::string name;
  name.reserve(target.size());
  for (const char c : target) {
    if (c == '\\') {
      name += "\\\\";
    } else if (c == ' ') {
      name += "\\032";
    } else {
      name += c;
    }
  }
  return name;
}

bool is_at_or_below(std::string_view name, std::string_view domain) {
  if (name.size() < domain.size()) return false;
  if (!base::iequals(name.substr(name.size() - domain.size()), domain)) return false;
  return name.size() == domain.size() || name[name.size() - domain.size() - 1] == '.';
}

}  // namespace spf
