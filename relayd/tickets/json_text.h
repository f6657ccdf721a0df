// JSON written and taken apart as text. A tree for every ticket costs more than all else in it.
// Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tickets {

// Appends `text` as a JSON string; what is no UTF-8 is replaced.
void append_json_string(std::string& out, std::string_view text);

// Appends one object to `out`, member by member, then end(). `key` needs no escape. Between
// member() and the next call its value is the caller's to append.
class JsonObject {
 public:
  explicit JsonObject(std::string& out) : out_(out) { out_ += '{'; }
  JsonObject& member(std::string_view key);
  JsonObject& text(std::string_view key, std::string_view value);
  JsonObject& json(std::string_view key, std::string_view value);
  void end() { out_ += '}'; }

 private:
  std::string& out_;
  bool first_ = true;
};

// The members of an object as text, each value without blanks between its tokens.
class JsonMembers {
 public:
  // None where `document` is no JSON object.
  explicit JsonMembers(std::string_view document);
  JsonMembers(const JsonMembers&) = delete;
  JsonMembers& operator=(const JsonMembers&) = delete;

  // The member's value, which is then no longer among the others; `standard` where there is none.
  std::string_view take(std::string_view key, std::string_view standard);
  // In their order, keys as written between the quotes.
  [[nodiscard]] const std::vector<std::pair<std::string_view, std::string_view>>& others() const {
    return members_;
  }

 private:
  std::string compact_;
  std::vector<std::pair<std::string_view, std::string_view>> members_;
};

}  // namespace tickets
