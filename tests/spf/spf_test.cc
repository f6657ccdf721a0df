// Our own evaluator over the table of cases, and what a table row cannot say.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "spf/cases.h"

namespace spf_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class SpfTable : public testing::TestWithParam<Case> {};

TEST_P(SpfTable, Verdict) {
  const Case& test = GetParam();
  const Replayed result = replay(test);
  EXPECT_EQ(spf::name(result.verdict.result), test.expected)
      << test.section << " " << test.what << ": " << result.verdict.reason;
  EXPECT_EQ(result.verdict.explanation, test.explanation) << test.section << " " << test.what;
  EXPECT_FALSE(result.verdict.reason.empty());
  EXPECT_FALSE(result.steps.empty());
}

INSTANTIATE_TEST_SUITE_P(Rfc7208, SpfTable, testing::ValuesIn(cases()));

TEST(Spf, StepsTellWhatHappened) {
  const Zone zone({"example.com TXT v=spf1 include:a.net mx exp=why.net.example -all",
                   "a.net TXT v=spf1 ip4:203.0.113.0/24 ~all", "example.com MX 10 m.net",
                   "m.net A 192.0.2.7", "why.net.example TXT Ask %{d}"});
  const Replayed result = replay(ordinary(), zone);
  EXPECT_THAT(
      result.steps,
      ElementsAre("MAIL FROM: user@example.com from 192.0.2.1",
                  "example.com: v=spf1 include:a.net mx exp=why.net.example -all",
                  "include:a.net: DNS term 1 of 10; its record is asked",
                  "  a.net: v=spf1 ip4:203.0.113.0/24 ~all", "  ip4:203.0.113.0/24: no match",
                  "  ~all: match, softfail", "include:a.net: gives softfail; no match",
                  "mx: DNS term 2 of 10; MX example.com = 10 m.net; A m.net = 192.0.2.7; no match",
                  "-all: match, fail", "exp=why.net.example: Ask example.com",
                  "result: fail, -all of example.com matches 192.0.2.1"));
}

TEST(Spf, StepsAreOfTheLastCall) {
  std::vector<std::string> steps = {"old"};
  const auto outcome = spf::evaluate(ordinary(), {}, base::Limits{}, spf::Engine::kNative, &steps);
  EXPECT_FALSE(outcome.verdict);
  EXPECT_THAT(steps, ElementsAre("MAIL FROM: user@example.com from 192.0.2.1"));
}

struct ReasonRow {
  std::vector<std::string> zone;
  std::string reason;
};

TEST(Spf, ReasonsNameTermAndDomain) {
  const std::vector<ReasonRow> rows = {
      {{"example.com TXT v=spf1 ip4:192.0.2.0/24 -all"},
       "ip4:192.0.2.0/24 of example.com matches 192.0.2.1"},
      {{"example.com TXT v=spf1 include:a.net -all", "a.net TXT v=spf1 +ip4:192.0.2.1"},
       "include:a.net of example.com matches 192.0.2.1 (+ip4:192.0.2.1 of a.net matches "
       "192.0.2.1)"},
      {{"example.com TXT v=spf1 redirect=a.net", "a.net TXT v=spf1 -all"},
       "-all of a.net matches 192.0.2.1"},
      {{"example.com TXT v=spf1 ip4:203.0.113.1"}, "no term of example.com matches 192.0.2.1"},
      {{}, "example.com: no SPF record"},
      {{"example.com TXT v=spf1 include:a.net"},
       "example.com: include:a.net leads to a domain without an SPF record"},
      {{"example.com TXT v=spf1 include:a.net", "a.net TXT v=spf1 a:h.net", "h.net A !servfail"},
       "a.net: DNS does not answer: A h.net: SERVFAIL"},
      {{"example.com TXT !timeout"}, "example.com: DNS does not answer: TXT example.com: timeout"},
      {{"example.com TXT v=spf1 a:192.0.2.1 -all"},
       "example.com: malformed term 'a:192.0.2.1': the last label of the domain is a number (for "
       "an address write ip4:)"},
      {{"example.com TXT v=spf1 a:v1.net a:v2.net a:v3.net"},
       "example.com: more than 2 terms ask DNS for what is not there (RFC 7208 4.6.4)"},
      {{"example.com TXT v=spf1 include:example.com"},
       "example.com: more than 10 terms need DNS (RFC 7208 4.6.4)"},
  };
  for (const ReasonRow& row : rows) {
    EXPECT_EQ(replay(ordinary(), Zone(row.zone)).verdict.reason, row.reason);
  }
}

TEST(Spf, TheVerdictNamesTheCheckedDomain) {
  EXPECT_EQ(replay({"192.0.2.1", "Mail.Example.ORG.", "", "r"}, Zone()).verdict.domain,
            "mail.example.org");
  EXPECT_EQ(replay({"192.0.2.1", "h.test", "a@[192.0.2.1]", "r"}, Zone()).verdict.domain,
            "[192.0.2.1]");
}

TEST(Spf, PassAsksForNoExplanation) {
  const Zone zone({"example.com TXT v=spf1 include:b.net exp=why.a.net ip4:192.0.2.1 -all",
                   "b.net TXT v=spf1 -all"});
  const Replayed result = replay(ordinary(), zone);
  EXPECT_EQ(spf::name(result.verdict.result), "pass");
  for (const auto& question : result.asked) EXPECT_NE(question.name, "why.a.net");
}

TEST(Spf, TermsBehindTheMatchAskNothing) {
  const Zone zone(
      {"example.com TXT v=spf1 a mx include:b.net exists:c.net -all", "example.com A 192.0.2.1"});
  EXPECT_EQ(replay(ordinary(), zone).asked.size(), 2U);
}

TEST(Spf, HostileInputsEndInAVerdict) {
  const std::vector<std::string> records = {
      "v=spf1 " + std::string(5000, 'a'),
      "v=spf1 " + std::string(60000, ' '),
      "v=spf1 exists:" + std::string(300, 'a') + ".%{l}.%{s}.com -all",
      "v=spf1 exists:" + std::string(4000, '.') + "com -all",
      "v=spf1 exists:%{l}.%{l}.%{l}.%{l}.example.com -all",
      "v=spf1 a:" + std::string(240, '%') + "%.com -all",
      "v=spf1 exp=%{p}.%{p} -all",
      "v=spf1 " + std::string(250, '+'),
      "v=spf1 exists:%{s127r.-+,/_=}.com",
      "v=spf1 ptr:%{p}.com mx:%{p}.com -all"};
  for (const std::string& text : records) {
    for (const std::string& local : {std::string("u"), std::string(500, '.'),
                                     std::string("%{l}%n%s"), std::string("\"a b\"@c")}) {
      const Zone zone({"example.com TXT " + text,
                       "1.2.0.192.in-addr.arpa PTR " + std::string(300, 'x') + ".net"});
      for (const auto engine : {spf::Engine::kNative, spf::Engine::kLibspf2}) {
        const spf::Request request = {"192.0.2.1", std::string(2000, 'h'), local + "@example.com",
                                      "r"};
        EXPECT_FALSE(replay(request, zone, engine).verdict.reason.empty()) << text;
      }
    }
  }
}

TEST(Spf, AnExplanationIsBounded) {
  std::string text;
  while (text.size() < 1000) text += "%{s}%{s}%{s}%{s}";
  const Zone zone(
      {"example.com TXT v=spf1 exp=why.net.example -all", "why.net.example TXT " + text});
  const auto verdict = replay(ordinary(), zone).verdict;
  EXPECT_EQ(verdict.explanation.size(), 512U);
  EXPECT_THAT(verdict.explanation, HasSubstr("user@example.com"));
}

}  // namespace
}  // namespace spf_test
