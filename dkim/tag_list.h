// Tag lists (RFC 6376 3.2), strict. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/result.h"

namespace dkim {

class TagList {
 public:
  // Folding white space around names and values goes; duplicate tags, tags without `=` and control
  // characters are errors.
  static base::Result<TagList> parse(std::string_view text);
  // nullptr where the tag is not there.
  [[nodiscard]] const std::string* find(std::string_view name) const;

 private:
  std::vector<std::pair<std::string, std::string>> tags_;
};

// Without any folding white space: for base64 and lists.
std::string without_blanks(std::string_view text);

}  // namespace dkim
