#include "dkim/tag_list.h"

#include <algorithm>

#include "core/base/bytes.h"

namespace dkim {
namespace {

constexpr std::size_t kTagsMax = 64;

bool is_tag_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

}  // namespace

base::Result<TagList> TagList::parse(std::string_view text) {
  TagList list;
  const auto parts = base::split(text, ';');
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::string_view part = base::trim(parts[i]);
    if (part.empty()) {
      if (i + 1 == parts.size()) break;  // one `;` may stand at the end
      return base::error("an empty tag");
    }
    const auto equals = part.find('=');
    if (equals == std::string_view::npos) return base::error("a tag without a value");
    const std::string tag(base::trim(part.substr(0, equals)));
    if (tag.empty() || !std::all_of(tag.begin(), tag.end(), is_tag_char)) {
      return base::error("a malformed tag name");
    }
    const std::string_view value = base::trim(part.substr(equals + 1));
    for (const char c : value) {
      const auto octet = static_cast<unsigned char>(c);
      if (octet == 0x7f || (octet < 0x20 && c != '\r' && c != '\n' && c != '\t')) {
        return base::error("a control character in tag " + tag);
      }
    }
    if (list.find(tag) != nullptr) return base::error("tag " + tag + " stands twice");
    if (list.tags_.size() >= kTagsMax) return base::error("too many tags");
    list.tags_.emplace_back(tag, std::string(value));
  }
  return list;
}

const std::string* TagList::find(std::string_view name) const {
  for (const auto& [tag, value] : tags_) {
    if (tag == name) return &value;
  }
  return nullptr;
}

std::string without_blanks(std::string_view text) {
  std::string result(text);
  std::erase_if(result, [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; });
  return result;
}

}  // namespace dkim
