#include "dkim/tag_list.h"

#include <algorithm>

#include "core/base/bytes.h"

namespace dkim {
namespace {

constexpr std::size_t kTagsMax = 64;

bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool is_tag_char(char c) { return is_alpha(c) || (c >= '0' && c <= '9') || c == '_'; }

bool is_tag_name(std::string_view text) {
  return !text.empty() && is_alpha(text.front()) &&
         std::all_of(text.begin(), text.end(), is_tag_char);
}

bool is_control(char c) {
  const auto octet = static_cast<unsigned char>(c);
  return octet == 0x7f || (octet < 0x20 && c != '\r' && c != '\n' && c != '\t');
}

}  // namespace

base::Result<TagList> TagList::parse(std::string_view text) {
  TagList list;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(';', begin), text.size());
    const std::string_view part = text.substr(begin, end - begin);
    const std::size_t part_begin = begin;
    begin = end + 1;
    if (base::trim(part).empty()) {
      if (end == text.size() && !list.tags_.empty()) break;
      return base::error("an empty tag");
    }
    const auto equals = part.find('=');
    if (equals == std::string_view::npos) return base::error("a tag without a value");
    Tag tag;
    tag.name = base::trim(part.substr(0, equals));
    if (!is_tag_name(tag.name)) return base::error("a malformed tag name");
    tag.value = base::trim(part.substr(equals + 1));
    if (std::any_of(tag.value.begin(), tag.value.end(), is_control)) {
      return base::error("a control character in tag " + tag.name);
    }
    if (list.find(tag.name) != nullptr) return base::error("tag " + tag.name + " stands twice");
    if (list.tags_.size() >= kTagsMax) return base::error("too many tags");
    tag.value_begin = part_begin + equals + 1;
    list.tags_.push_back(std::move(tag));
  }
  return list;
}

const Tag* TagList::find_tag(std::string_view name) const {
  for (const Tag& tag : tags_) {
    if (tag.name == name) return &tag;
  }
  return nullptr;
}

const std::string* TagList::find(std::string_view name) const {
  const Tag* tag = find_tag(name);
  return tag == nullptr ? nullptr : &tag->value;
}

std::string without_blanks(std::string_view text) {
  std::string result(text);
  std::erase_if(result, [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; });
  return result;
}

std::optional<std::string> decode_folded_base64(std::string_view text) {
  std::string digits = without_blanks(text);
  if (digits.empty()) return std::nullopt;
  if (!digits.ends_with('=')) digits.append((4 - digits.size() % 4) % 4, '=');
  return base::base64_decode(digits);
}

}  // namespace dkim
