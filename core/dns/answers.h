// DNS questions and answers as plain data: what checks read and what resolvers give (RFC 1035).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace dns {

enum class Type : std::uint16_t {
  kA = 1,
  kNs = 2,
  kCname = 5,
  kPtr = 12,
  kMx = 15,
  kTxt = 16,
  kAaaa = 28
};

struct Question {
  std::string name;  // lower case, no trailing dot
  Type type = Type::kA;
  auto operator<=>(const Question&) const = default;
};

enum class Status : std::uint8_t {
  kOk,        // records are there
  kNoData,    // the name exists, records of the type do not
  kNxDomain,  // the name does not exist
  kServFail,  // any failure of a server: SERVFAIL, REFUSED, FORMERR, DNSSEC bogus
  kTimeout,   // nobody answered in time
};

struct Answer {
  Status status = Status::kTimeout;
  // One entry a record, in presentation that checks can use at once:
  //   A, AAAA: the address as text; TXT: its strings joined (RFC 7208 3.3); PTR, CNAME, NS: the
  //   name, lower case, no trailing dot; MX: "PREFERENCE NAME", NAME being "." in a null MX (RFC
  //   7505).
  // Octets of a name that are not printable, and dots inside a label, are escaped (RFC 1035 5.1).
  std::vector<std::string> records;
  bool secure = false;      // DNSSEC said so
  std::size_t aliases = 0;  // CNAMEs on the way; each cost a query more

  [[nodiscard]] bool temporary() const {
    return status == Status::kServFail || status == Status::kTimeout;
  }
};

// The answers a check has so far. A check that needs more says which questions are missing
// (docs/decisions: replay).
class Answers {
 public:
  [[nodiscard]] const Answer* find(const Question& question) const {
    const auto at = answers_.find(question);
    return at == answers_.end() ? nullptr : &at->second;
  }
  void put(Question question, Answer answer) {
    answers_.insert_or_assign(std::move(question), std::move(answer));
  }
  [[nodiscard]] std::size_t size() const { return answers_.size(); }

 private:
  std::map<Question, Answer> answers_;
};

}  // namespace dns
