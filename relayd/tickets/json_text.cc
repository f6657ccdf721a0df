#include "relayd/tickets/json_text.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/bytes.h"

namespace tickets {
namespace {

bool needs_escape(char c) { return static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '\\'; }

void append_escape(std::string& out, char c) {
  constexpr std::string_view kNamed = "\"\\\b\f\n\r\t";
  constexpr std::string_view kNames = "\"\\bfnrt";
  out += '\\';
  if (const auto at = kNamed.find(c); at != std::string_view::npos) {
    out += kNames[at];
  } else {
    out += "u00" + base::hex_encode(std::string_view(&c, 1));
  }
}

// Where the string ends whose opening quote is at `begin`: behind its closing quote.
std::size_t behind_string(std::string_view json, std::size_t begin) {
  std::size_t at = begin + 1;
  while (json[at] != '"') at += json[at] == '\\' ? 2 : 1;
  return at + 1;
}

// Where the value ends that begins at `at`, in JSON without blanks.
std::size_t behind_value(std::string_view json, std::size_t at) {
  for (int depth = 0;;) {
    const char c = json[at];
    if (depth == 0 && (c == ',' || c == '}')) return at;
    if (c == '"') {
      at = behind_string(json, at);
      continue;
    }
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    ++at;
  }
}

std::string without_blanks(std::string_view json) {
  std::string out;
  out.reserve(json.size());
  for (std::size_t at = 0; at < json.size();) {
    const char c = json[at];
    const std::size_t end = c == '"' ? behind_string(json, at) : at + 1;
    if (c != ' ' && c != '\t' && c != '\r' && c != '\n') out += json.substr(at, end - at);
    at = end;
  }
  return out;
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  std::string valid;
  if (!base::is_utf8(text)) {
    valid = base::to_utf8(text);
    text = valid;
  }
  out += '"';
  while (!text.empty()) {
    const auto odd = std::find_if(text.begin(), text.end(), needs_escape);
    out.append(text.begin(), odd);
    if (odd == text.end()) break;
    append_escape(out, *odd);
    text.remove_prefix(static_cast<std::size_t>(odd - text.begin()) + 1);
  }
  out += '"';
}

JsonObject& JsonObject::member(std::string_view key) {
  if (!first_) out_ += ',';
  first_ = false;
  out_ += '"';
  out_ += key;
  out_ += "\":";
  return *this;
}

JsonObject& JsonObject::text(std::string_view key, std::string_view value) {
  member(key);
  append_json_string(out_, value);
  return *this;
}

JsonObject& JsonObject::json(std::string_view key, std::string_view value) {
  member(key);
  out_ += value;
  return *this;
}

// Checked by a parser first, so that nothing here meets a surprise.
JsonMembers::JsonMembers(std::string_view document) {
  if (!base::trim(document).starts_with('{') || !nlohmann::json::accept(document)) return;
  compact_ = without_blanks(document);
  const std::string_view json = compact_;
  for (std::size_t at = 1; at < json.size() && json[at] == '"';) {
    const std::size_t key_end = behind_string(json, at);
    const std::size_t value = key_end + 1;
    const std::size_t end = behind_value(json, value);
    members_.emplace_back(json.substr(at + 1, key_end - at - 2), json.substr(value, end - value));
    at = end + 1;
  }
}

std::string_view JsonMembers::take(std::string_view key, std::string_view standard) {
  const auto at = std::find_if(members_.begin(), members_.end(),
                               [&](const auto& member) { return member.first == key; });
  if (at == members_.end()) return standard;
  const std::string_view value = at->second;
  members_.erase(at);
  return value;
}

}  // namespace tickets
