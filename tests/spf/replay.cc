#include <gtest/gtest.h>

#include "spf/cases.h"

namespace spf_test {
namespace {

dns::Type type_of(const std::string& text) {
  static const std::map<std::string, dns::Type> kTypes = {{"A", dns::Type::kA},
                                                          {"AAAA", dns::Type::kAaaa},
                                                          {"MX", dns::Type::kMx},
                                                          {"PTR", dns::Type::kPtr},
                                                          {"TXT", dns::Type::kTxt}};
  return kTypes.at(text);
}

const std::map<std::string, dns::Status>& failures() {
  static const std::map<std::string, dns::Status> kFailures = {
      {"!nxdomain", dns::Status::kNxDomain},
      {"!nodata", dns::Status::kNoData},
      {"!servfail", dns::Status::kServFail},
      {"!timeout", dns::Status::kTimeout}};
  return kFailures;
}

}  // namespace

Zone::Zone(const std::vector<std::string>& lines) {
  for (const std::string& line : lines) add(line);
}

void Zone::add(const std::string& line) {
  const auto name_end = line.find(' ');
  const auto type_end = line.find(' ', name_end + 1);
  const std::string name = line.substr(0, name_end);
  const std::string record = line.substr(type_end + 1);
  auto& answer = answers_[{name, type_of(line.substr(name_end + 1, type_end - name_end - 1))}];
  names_[name] = true;
  if (const auto failure = failures().find(record); failure != failures().end()) {
    answer.status = failure->second;
    return;
  }
  answer.status = dns::Status::kOk;
  answer.records.push_back(record);
}

dns::Answer Zone::answer(const dns::Question& question) const {
  if (const auto at = answers_.find(question); at != answers_.end()) return at->second;
  dns::Answer answer;
  const bool exists = names_.find(question.name) != names_.end();
  answer.status = exists ? dns::Status::kNoData : dns::Status::kNxDomain;
  return answer;
}

spf::Request ordinary() {
  return {"192.0.2.1", "mail.example.com", "user@example.com", "relay.test", 1700000000};
}

Replayed replay(const spf::Request& request, const Zone& zone, spf::Engine engine,
                const base::Limits& limits) {
  Replayed result;
  dns::Answers answers;
  for (; result.rounds < 100; ++result.rounds) {
    spf::Outcome outcome = spf::evaluate(request, answers, limits, engine, &result.steps);
    if (outcome.verdict) {
      result.verdict = *outcome.verdict;
      return result;
    }
    EXPECT_FALSE(outcome.missing.empty());
    for (const dns::Question& question : outcome.missing) {
      EXPECT_EQ(answers.find(question), nullptr) << question.name << " asked twice";
      answers.put(question, zone.answer(question));
      result.asked.push_back(question);
    }
  }
  ADD_FAILURE() << "never decided";
  return result;
}

Replayed replay(const Case& test, spf::Engine engine) {
  Zone zone(test.zone);
  if (!test.record.empty()) zone.add("example.com TXT " + test.record);
  return replay(test.request, zone, engine);
}

}  // namespace spf_test
