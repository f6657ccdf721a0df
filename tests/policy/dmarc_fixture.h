// DMARC replayed against a zone that is a list of texts. Tables of rows, one a case.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "core/base/bytes.h"
#include "core/mail/headers.h"
#include "policy/dmarc.h"

namespace dmarc_test {

// Name and record. TXT by plain name; "A NAME" and "CNAME NAME" for other types. Every name stands
// for itself only: what is not listed is NXDOMAIN. A text "!servfail", "!timeout" or "!nodata" is
// the answer's status.
using Zone = std::vector<std::pair<std::string, std::string>>;

struct Row {
  const char* what;  // "SECTION what it shows"
  std::string from;  // the From field's body; with a colon-ended name: the whole header
  std::string spf;   // the domain that passed, "RESULT DOMAIN", or ""
  std::string dkim;  // signatures, separated by blanks: "DOMAIN" passed, "RESULT:DOMAIN" did not
  Zone zone;
  std::string expected;  // "result policy policy_domain spf dkim", - for nothing
};

inline void PrintTo(const Row& row, std::ostream* out) { *out << row.what; }

inline dns::Answer answer_of(const Zone& zone, const dns::Question& question) {
  const std::string key = (question.type == dns::Type::kA       ? "A "
                           : question.type == dns::Type::kCname ? "CNAME "
                                                                : "") +
                          question.name;
  dns::Answer answer;
  answer.status = dns::Status::kNxDomain;
  for (const auto& [name, text] : zone) {
    if (name != key) continue;
    if (text == "!servfail") answer.status = dns::Status::kServFail;
    if (text == "!timeout") answer.status = dns::Status::kTimeout;
    if (text == "!nodata") answer.status = dns::Status::kNoData;
    if (text.starts_with('!')) return answer;
    answer.status = dns::Status::kOk;
    answer.records.push_back(text);
  }
  return answer;
}

inline spf::Verdict spf_verdict(const std::string& text) {
  spf::Verdict verdict;
  if (text.empty()) return verdict;
  const auto parts = base::split(text, ' ');
  verdict.domain = parts.back();
  verdict.result = spf::Result::kPass;
  if (parts.size() == 2) {
    verdict.result = parts[0] == "temperror"   ? spf::Result::kTempError
                     : parts[0] == "permerror" ? spf::Result::kPermError
                     : parts[0] == "softfail"  ? spf::Result::kSoftFail
                     : parts[0] == "neutral"   ? spf::Result::kNeutral
                                               : spf::Result::kFail;
  }
  return verdict;
}

inline std::vector<dkim::SignatureVerdict> dkim_verdicts(const std::string& text) {
  std::vector<dkim::SignatureVerdict> list;
  for (const std::string_view one : base::split(text, ' ')) {
    if (one.empty()) continue;
    const auto parts = base::split(one, ':');
    dkim::SignatureVerdict verdict;
    verdict.domain = parts.back();
    verdict.result = dkim::Result::kPass;
    if (parts.size() == 2) {
      verdict.result = parts[0] == "temperror"   ? dkim::Result::kTempError
                       : parts[0] == "permerror" ? dkim::Result::kPermError
                       : parts[0] == "policy"    ? dkim::Result::kPolicy
                       : parts[0] == "neutral"   ? dkim::Result::kNeutral
                                                 : dkim::Result::kFail;
    }
    list.push_back(std::move(verdict));
  }
  return list;
}

inline std::string summary(const policy::DmarcVerdict& verdict) {
  return std::string(policy::name(verdict.result)) + " " + verdict.policy + " " +
         (verdict.policy_domain.empty() ? "-" : verdict.policy_domain) + " " +
         (verdict.spf_aligned ? "spf" : "-") + " " + (verdict.dkim_aligned ? "dkim" : "-");
}

struct Replayed {
  policy::DmarcVerdict verdict;
  std::vector<dns::Question> asked;
  std::vector<std::string> steps;
  int rounds = 0;
};

// Replays until the verdict is there. No question may come twice, and few rounds must do.
inline Replayed replay(const Row& row, policy::DmarcProfile profile) {
  const bool whole_header = row.from.ends_with("\r\n") || row.from.empty();
  const std::string header = whole_header ? row.from : "From: " + row.from + "\r\n";
  const auto headers = mail::Headers::scan(header, 100);
  EXPECT_TRUE(headers.ok()) << row.what;
  Replayed result;
  dns::Answers answers;
  for (; headers.ok() && result.rounds < 4; ++result.rounds) {
    const auto outcome = policy::evaluate_dmarc(
        *headers, spf_verdict(row.spf), dkim_verdicts(row.dkim), answers, profile, &result.steps);
    if (outcome.verdict) {
      EXPECT_TRUE(outcome.missing.empty());
      result.verdict = *outcome.verdict;
      return result;
    }
    EXPECT_FALSE(outcome.missing.empty());
    for (const dns::Question& question : outcome.missing) {
      EXPECT_EQ(answers.find(question), nullptr) << question.name << " asked twice";
      EXPECT_LE(question.name.size(), 253U) << "no such name can be asked for";
      answers.put(question, answer_of(row.zone, question));
      result.asked.push_back(question);
    }
  }
  ADD_FAILURE() << "never decided: " << row.what;
  return result;
}

inline void check(const Row& row, policy::DmarcProfile profile) {
  const Replayed result = replay(row, profile);
  EXPECT_EQ(summary(result.verdict), row.expected) << row.what << ": " << result.verdict.reason;
  EXPECT_FALSE(result.verdict.reason.empty());
  EXPECT_FALSE(result.steps.empty());
}

}  // namespace dmarc_test
