#include "core/mail/headers.h"

#include <algorithm>

#include "core/base/bytes.h"

namespace mail {
namespace {

constexpr std::size_t kFieldsExpected = 16;

bool is_field_name_char(char c) { return c > 32 && c < 127 && c != ':'; }

// The name in front of the colon; RFC 5322 4.5 (obsolete) lets blanks stand before the colon.
std::string_view field_name(std::string_view line) {
  std::size_t end = 0;
  while (end < line.size() && is_field_name_char(line[end])) ++end;
  std::size_t colon = end;
  while (colon < line.size() && (line[colon] == ' ' || line[colon] == '\t')) ++colon;
  if (end == 0 || colon == line.size() || line[colon] != ':') return {};
  return line.substr(0, end);
}

base::Error line_error(std::size_t line_number, std::string_view what) {
  return base::error("line " + std::to_string(line_number) + " of the header " + std::string(what));
}

}  // namespace

bool HeaderField::is(std::string_view other_name) const { return base::iequals(name, other_name); }

std::string unfold(std::string_view body) {
  std::string out;
  out.reserve(body.size());
  for (const char c : base::trim(body)) {
    if (c != '\r' && c != '\n') out += c;
  }
  return out;
}

base::Result<Headers> Headers::scan(std::string_view block, std::size_t fields_max) {
  Headers headers;
  headers.fields_.reserve(std::min(fields_max, kFieldsExpected));
  std::size_t line_number = 0;
  std::size_t field_start = 0;
  std::size_t at = 0;
  while (at < block.size()) {
    ++line_number;
    const std::size_t end = block.find('\n', at);
    if (end == std::string_view::npos || end == at || block[end - 1] != '\r') {
      return line_error(line_number, "does not end in CR LF");
    }
    const std::string_view line = block.substr(at, end - 1 - at);
    if (line.find('\r') != std::string_view::npos) {
      return line_error(line_number, "has a CR that is not followed by LF");
    }
    const bool folded = !line.empty() && (line[0] == ' ' || line[0] == '\t');
    if (folded) {
      if (headers.fields_.empty()) return line_error(line_number, "continues no field");
    } else {
      const std::string_view name = field_name(line);
      if (name.empty()) {
        return line_error(line_number, "is no header field (\"Name: value\" is expected)");
      }
      if (headers.fields_.size() == fields_max) {
        return line_error(line_number, "is more than the " + std::to_string(fields_max) +
                                           " fields that a message may have");
      }
      field_start = at;
      headers.fields_.push_back({name, {}, {}});
    }
    HeaderField& field = headers.fields_.back();
    field.raw = block.substr(field_start, end + 1 - field_start);
    const std::size_t colon = field.raw.find(':');
    field.body = field.raw.substr(colon + 1, field.raw.size() - colon - 3);
    at = end + 1;
  }
  return headers;
}

const HeaderField* Headers::find(std::string_view name) const {
  for (const HeaderField& field : fields_) {
    if (field.is(name)) return &field;
  }
  return nullptr;
}

std::size_t Headers::count(std::string_view name) const {
  std::size_t n = 0;
  for (const HeaderField& field : fields_) n += field.is(name) ? 1 : 0;
  return n;
}

std::optional<std::string> Headers::value(std::string_view name) const {
  const HeaderField* field = find(name);
  if (field == nullptr) return std::nullopt;
  return unfold(field->body);
}

std::size_t header_section_end(std::string_view message) {
  if (message.starts_with("\r\n")) return 0;
  const std::size_t at = message.find("\r\n\r\n");
  return at == std::string_view::npos ? at : at + 2;
}

}  // namespace mail
