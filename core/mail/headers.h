// A scanner over the immutable header block of a message (RFC 5322 2.2). It copies nothing: fields
// are views into the caller's bytes, which must outlive them. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace mail {

struct HeaderField {
  std::string_view name;  // as written, without trailing blanks
  std::string_view body;  // after the colon, folded as it came, without the final CRLF
  std::string_view raw;   // the whole field with its final CRLF

  [[nodiscard]] bool is(std::string_view other_name) const;
};

// The body with its folding removed (RFC 5322 2.2.3) and blanks at both ends cut.
std::string unfold(std::string_view body);

class Headers {
 public:
  // `block` is the header section: fields, each ended by CRLF, without the empty line. Errors say
  // the line number: a line that is no field (no colon, blank in the name, a control character
  // in the name), a continuation at the start, more than `fields_max` fields, a bare CR or LF.
  static base::Result<Headers> scan(std::string_view block, std::size_t fields_max);

  [[nodiscard]] const std::vector<HeaderField>& fields() const { return fields_; }
  // The first field of that name; names compare without case.
  [[nodiscard]] const HeaderField* find(std::string_view name) const;
  [[nodiscard]] std::size_t count(std::string_view name) const;
  // The unfolded body of the first field of that name.
  [[nodiscard]] std::optional<std::string> value(std::string_view name) const;

 private:
  std::vector<HeaderField> fields_;
};

// Where the header section of `message` ends: the offset just behind the CRLF of its last field
// (an empty line and the body follow); npos while neither an empty line nor the end is in sight.
// A message that starts with an empty line has a header section of size 0.
std::size_t header_section_end(std::string_view message);

}  // namespace mail
