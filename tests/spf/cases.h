// The table of SPF cases, a zone to answer from, and the replay that the pipeline does.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/base/limits.h"
#include "core/dns/answers.h"
#include "spf/spf.h"

namespace spf_test {

// One line a record: "NAME TYPE RECORD", the record being "!nxdomain", "!nodata", "!servfail" or
// "!timeout" for an answer without records. Names are written as dns::Question has them.
class Zone {
 public:
  Zone() = default;
  explicit Zone(const std::vector<std::string>& lines);
  void add(const std::string& line);
  // A name that has no line of any type does not exist.
  [[nodiscard]] dns::Answer answer(const dns::Question& question) const;

 private:
  std::map<dns::Question, dns::Answer> answers_;
  std::map<std::string, bool> names_;
};

// user@example.com from 192.0.2.1.
spf::Request ordinary();

struct Case {
  std::string section;  // of RFC 7208
  std::string what;
  std::string expected;
  std::string record;  // of example.com; "" where it has none
  std::vector<std::string> zone = {};
  spf::Request request = ordinary();
  std::string explanation = {};
};
std::vector<Case> cases();

struct Replayed {
  spf::Verdict verdict;
  int rounds = 0;
  std::vector<dns::Question> asked;
  std::vector<std::string> steps;
};
// Evaluates, answers what is missing, evaluates again.
Replayed replay(const spf::Request& request, const Zone& zone,
                spf::Engine engine = spf::Engine::kNative, const base::Limits& limits = {});
Replayed replay(const Case& test, spf::Engine engine = spf::Engine::kNative);

}  // namespace spf_test
