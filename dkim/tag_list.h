// Tag lists (RFC 6376 3.2), strict. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace dkim {

struct Tag {
  std::string name;             // case-sensitive
  std::string value;            // without the white space around it; inner folding as it came
  std::size_t value_begin = 0;  // where in the parsed text: just behind the `=`
};

class TagList {
 public:
  // White space around names and values goes. Errors, in words for people: an empty tag (one `;`
  // may stand at the end), a tag without `=`, a malformed name, a duplicate, a control character,
  // more than 64 tags. Octets above 0x7e are let through in values: RFC 8616 allows them in some.
  static base::Result<TagList> parse(std::string_view text);
  // nullptr where the tag is not there.
  [[nodiscard]] const std::string* find(std::string_view name) const;
  [[nodiscard]] const Tag* find_tag(std::string_view name) const;
  // In the order of the text.
  [[nodiscard]] const std::vector<Tag>& tags() const { return tags_; }

 private:
  std::vector<Tag> tags_;
};

// Without any folding white space: for base64 and lists.
std::string without_blanks(std::string_view text);

// Base64 as RFC 6376 2.10 writes it: folding white space anywhere, padding may be missing. nullopt
// where it is none, or empty.
std::optional<std::string> decode_folded_base64(std::string_view text);

}  // namespace dkim
