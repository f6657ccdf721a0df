// How fuzzers read their input: parts between lines of "--", one of which may be a zone file of one
// record a line ("TXT name text", or "TXT name !servfail"), so that seeds can be read and written.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"
#include "core/dns/answers.h"

namespace fuzz {

inline std::vector<std::string_view> parts(const std::uint8_t* data, std::size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  std::vector<std::string_view> all;
  for (;;) {
    const auto end = rest.find("\n--\n");
    all.push_back(rest.substr(0, end));
    if (end == std::string_view::npos) return all;
    rest.remove_prefix(end + 4);
  }
}

inline std::string_view part(const std::vector<std::string_view>& all, std::size_t index) {
  return index < all.size() ? all[index] : std::string_view();
}

// A part as a header section: its lines with CRLF.
inline std::string header_block(std::string_view part) {
  std::string block;
  for (const std::string_view line : base::split(part, '\n')) block.append(line).append("\r\n");
  return block;
}

// The world's DNS: what the zone does not name does not exist.
class Zone {
 public:
  explicit Zone(std::string_view text) {
    for (const std::string_view line : base::split(text, '\n')) {
      const auto type_end = line.find(' ');
      const auto name_end = line.find(' ', type_end == std::string_view::npos ? 0 : type_end + 1);
      if (name_end == std::string_view::npos || rows_.size() >= 200) continue;
      rows_.push_back({type_of(line.substr(0, type_end)),
                       base::ascii_lower(line.substr(type_end + 1, name_end - type_end - 1)),
                       std::string(line.substr(name_end + 1))});
    }
  }
  [[nodiscard]] dns::Answer answer(const dns::Question& question) const {
    dns::Answer answer{dns::Status::kNxDomain, {}, false};
    for (const Row& row : rows_) {
      if (row.name != question.name) continue;
      if (answer.status == dns::Status::kNxDomain) answer.status = dns::Status::kNoData;
      if (row.type != question.type) continue;
      if (row.text == "!servfail") return {dns::Status::kServFail, {}, false};
      if (row.text == "!timeout") return {dns::Status::kTimeout, {}, false};
      answer.status = dns::Status::kOk;
      answer.records.push_back(row.text);
    }
    return answer;
  }

 private:
  struct Row {
    dns::Type type;
    std::string name, text;
  };
  static dns::Type type_of(std::string_view text) {
    if (text == "TXT") return dns::Type::kTxt;
    if (text == "MX") return dns::Type::kMx;
    if (text == "PTR") return dns::Type::kPtr;
    if (text == "AAAA") return dns::Type::kAaaa;
    return dns::Type::kA;
  }
  std::vector<Row> rows_;
};

// A broken promise of the code under test ends the fuzzer.
inline void require(bool kept) {
  if (!kept) __builtin_trap();
}

}  // namespace fuzz
