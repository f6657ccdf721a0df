#include "spf/spf.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "core/base/limits.h"
#include "core/dns/answers.h"

namespace {

using dns::Status;
using dns::Type;

// "TYPE name record" a line; "TYPE name !nxdomain|!nodata|!servfail|!timeout" for the others.
class Zone {
 public:
  void add(Type type, const std::string& name, const std::string& record) {
    auto& answer = zone_[{name, type}];
    static const std::map<std::string, Status> kFailures = {{"!nxdomain", Status::kNxDomain},
                                                            {"!nodata", Status::kNoData},
                                                            {"!servfail", Status::kServFail},
                                                            {"!timeout", Status::kTimeout}};
    if (const auto failure = kFailures.find(record); failure != kFailures.end()) {
      answer.status = failure->second;
      return;
    }
    answer.status = Status::kOk;
    answer.records.push_back(record);
  }
  [[nodiscard]] dns::Answer answer(const dns::Question& question) const {
    if (const auto at = zone_.find(question); at != zone_.end()) return at->second;
    dns::Answer answer;
    answer.status = Status::kNxDomain;
    return answer;
  }

 private:
  std::map<dns::Question, dns::Answer> zone_;
};

struct Replayed {
  spf::Verdict verdict;
  int rounds = 0;
  std::vector<dns::Question> asked;
};

// What the pipeline does: evaluate, resolve what is missing, evaluate again.
Replayed replay(const spf::Request& request, const Zone& zone) {
  Replayed result;
  dns::Answers answers;
  const base::Limits limits;
  for (; result.rounds < 60; ++result.rounds) {
    spf::Outcome outcome = spf::evaluate(request, answers, limits);
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

struct Row {
  const char* what;
  std::vector<std::tuple<Type, std::string, std::string>> zone;
  const char* expected;
  spf::Request request = {"192.0.2.1", "mail.example.com", "user@example.com", "relay.test"};
};

class SpfTable : public testing::TestWithParam<Row> {};

TEST_P(SpfTable, Verdict) {
  Zone zone;
  for (const auto& [type, name, record] : GetParam().zone) zone.add(type, name, record);
  const Replayed result = replay(GetParam().request, zone);
  EXPECT_EQ(spf::name(result.verdict.result), GetParam().expected)
      << GetParam().what << ": " << result.verdict.reason;
  EXPECT_FALSE(result.verdict.reason.empty());
}

std::vector<std::tuple<Type, std::string, std::string>> record(const std::string& text) {
  return {{Type::kTxt, "example.com", text}};
}

std::vector<std::tuple<Type, std::string, std::string>> with(
    const std::string& text, std::vector<std::tuple<Type, std::string, std::string>> more) {
  more.insert(more.begin(), {Type::kTxt, "example.com", text});
  return more;
}

// Eleven include terms in a chain of records of their own.
std::vector<std::tuple<Type, std::string, std::string>> includes(int count) {
  std::vector<std::tuple<Type, std::string, std::string>> zone;
  std::string text = "v=spf1";
  for (int i = 0; i < count; ++i) {
    const std::string domain = "i" + std::to_string(i) + ".example.net";
    text += " include:" + domain;
    zone.emplace_back(Type::kTxt, domain, "v=spf1 ip4:203.0.113.1 -all");
  }
  zone.insert(zone.begin(), {Type::kTxt, "example.com", text + " ip4:192.0.2.1 -all"});
  return zone;
}

// The same number of terms, each inside the include before it.
std::vector<std::tuple<Type, std::string, std::string>> nested_includes(int count) {
  std::vector<std::tuple<Type, std::string, std::string>> zone;
  for (int i = 0; i < count; ++i) {
    zone.emplace_back(Type::kTxt, i == 0 ? "example.com" : "n" + std::to_string(i) + ".example.net",
                      "v=spf1 include:n" + std::to_string(i + 1) + ".example.net -all");
  }
  zone.emplace_back(Type::kTxt, "n" + std::to_string(count) + ".example.net",
                    "v=spf1 ip4:192.0.2.1 -all");
  return zone;
}

const spf::Request kV6 = {"2001:db8::1", "mail.example.com", "user@example.com", "relay.test"};
const spf::Request kMapped = {"::ffff:192.0.2.1", "mail.example.com", "user@example.com", "r.test"};
const spf::Request kLoopback = {"127.0.0.1", "mail.example.com", "user@example.com", "r.test"};
const spf::Request kNull = {"192.0.2.1", "example.com", "", "r.test"};
spf::Request from(const std::string& mail_from, const std::string& helo = "mail.example.com") {
  return {"192.0.2.1", helo, mail_from, "relay.test"};
}

INSTANTIATE_TEST_SUITE_P(
    Rfc7208, SpfTable,
    testing::Values(
        // 4.3 to 4.5: which domain, which record
        Row{"4.3 no dot", {}, "none", from("user@localhost")},
        Row{"4.3 empty label", {}, "none", from("user@example..com")},
        Row{"4.3 long label", {}, "none", from("user@" + std::string(64, 'a') + ".com")},
        Row{"4.3 literal", {}, "none", from("user@[192.0.2.1]")},
        Row{"4.3 NUL", {}, "none", from(std::string("user@exam\0ple.com", 17))},
        Row{"2.4 null sender", record("v=spf1 ip4:192.0.2.1 -all"), "pass", kNull},
        Row{"2.4 null sender, HELO no FQDN", {}, "none", from("", "mailhost")},
        Row{"2.4 null sender, HELO literal", {}, "none", from("", "[192.0.2.1]")},
        Row{"2.4 null sender, HELO address", {}, "none", from("", "192.0.2.1")},
        Row{"4.4 NXDOMAIN", {}, "none"}, Row{"4.4 no data", record("!nodata"), "none"},
        Row{"4.4 SERVFAIL", record("!servfail"), "temperror"},
        Row{"4.4 timeout", record("!timeout"), "temperror"},
        Row{"4.5 other TXT only", record("google-site-verification=x"), "none"},
        Row{"4.5 v=spf10", record("v=spf10 -all"), "none"},
        Row{"4.5 among many",
            with("x",
                 {{Type::kTxt, "example.com", "v=spf1 -all"}, {Type::kTxt, "example.com", "y"}}),
            "fail"},
        Row{"4.5 two records", with("v=spf1 -all", {{Type::kTxt, "example.com", "v=spf1 +all"}}),
            "permerror"},
        Row{"4.5 case", record("V=SPF1 -ALL"), "fail"},
        Row{"4.5 empty record", record("v=spf1"), "neutral"},
        // 4.6: syntax
        Row{"4.6 unknown mechanism", record("v=spf1 foo -all"), "permerror"},
        Row{"4.6 error behind a match", record("v=spf1 ip4:192.0.2.1 foo"), "permerror"},
        Row{"4.6 8-bit", record("v=spf1 a:\xc3\xa9.com -all"), "permerror"},
        Row{"4.6 tab", record("v=spf1\t-all"), "none"},
        Row{"4.6 many blanks", record("v=spf1   -all  "), "fail"},
        Row{"6 unknown modifier", record("v=spf1 moo=%{d} -all"), "fail"},
        Row{"6 two redirects", record("v=spf1 redirect=a.com redirect=b.com"), "permerror"},
        Row{"6 malformed macro in unknown modifier", record("v=spf1 moo=%{x} -all"), "permerror"},
        // 5.1 all
        Row{"5.1 pass", record("v=spf1 all"), "pass"}, Row{"5.1 +", record("v=spf1 +all"), "pass"},
        Row{"5.1 -", record("v=spf1 -all"), "fail"},
        Row{"5.1 ~", record("v=spf1 ~all"), "softfail"},
        Row{"5.1 ?", record("v=spf1 ?all"), "neutral"},
        Row{"5.1 all:", record("v=spf1 all:x"), "permerror"},
        Row{"5.1 behind all", record("v=spf1 -all ip4:192.0.2.1"), "fail"},
        // 5.2 include
        Row{"5.2 pass", with("v=spf1 include:a.net -all", {{Type::kTxt, "a.net", "v=spf1 +all"}}),
            "pass"},
        Row{"5.2 fail goes on",
            with("v=spf1 include:a.net ~all", {{Type::kTxt, "a.net", "v=spf1 -all"}}), "softfail"},
        Row{"5.2 none", record("v=spf1 include:a.net ~all"), "permerror"},
        Row{"5.2 temperror", with("v=spf1 include:a.net -all", {{Type::kTxt, "a.net", "!timeout"}}),
            "temperror"},
        Row{"5.2 permerror",
            with("v=spf1 include:a.net -all", {{Type::kTxt, "a.net", "v=spf1 bar"}}), "permerror"},
        Row{"5.2 itself", record("v=spf1 include:example.com -all"), "permerror"},
        // 5.3 a
        Row{"5.3 a", with("v=spf1 a -all", {{Type::kA, "example.com", "192.0.2.1"}}), "pass"},
        Row{"5.3 a other", with("v=spf1 a -all", {{Type::kA, "example.com", "192.0.2.2"}}), "fail"},
        Row{"5.3 a/24", with("v=spf1 a/24 -all", {{Type::kA, "example.com", "192.0.2.9"}}), "pass"},
        Row{"5.3 a:d", with("v=spf1 a:h.net -all", {{Type::kA, "h.net", "192.0.2.1"}}), "pass"},
        Row{"5.3 second address",
            with("v=spf1 a -all",
                 {{Type::kA, "example.com", "192.0.2.7"}, {Type::kA, "example.com", "192.0.2.1"}}),
            "pass"},
        Row{"5.3 v6", with("v=spf1 a -all", {{Type::kAaaa, "example.com", "2001:db8::1"}}), "pass",
            kV6},
        Row{"5.3 dual cidr",
            with("v=spf1 a:h.net/8//32 -all", {{Type::kAaaa, "h.net", "2001:db8:ffff::"}}), "pass",
            kV6},
        Row{"5.3 SERVFAIL", with("v=spf1 a -all", {{Type::kA, "example.com", "!servfail"}}),
            "temperror"},
        Row{"5.3 cidr 33", record("v=spf1 a/33 -all"), "permerror"},
        Row{"5.3 cidr 024", record("v=spf1 a/024 -all"), "permerror"},
        Row{"5.3 numeric top label", record("v=spf1 a:192.0.2.1 -all"), "permerror"},
        // 5.4 mx
        Row{"5.4 mx",
            with("v=spf1 mx -all",
                 {{Type::kMx, "example.com", "10 m.net"}, {Type::kA, "m.net", "192.0.2.1"}}),
            "pass"},
        Row{"5.4 second mx",
            with("v=spf1 mx:e.net/24 -all", {{Type::kMx, "e.net", "10 m.net"},
                                             {Type::kMx, "e.net", "20 n.net"},
                                             {Type::kA, "m.net", "203.0.113.1"},
                                             {Type::kA, "n.net", "192.0.2.99"}}),
            "pass"},
        Row{"5.4 no mx", with("v=spf1 mx -all", {{Type::kA, "example.com", "192.0.2.1"}}), "fail"},
        // 5.5 ptr
        Row{"5.5 ptr",
            with("v=spf1 ptr -all", {{Type::kPtr, "1.2.0.192.in-addr.arpa", "h.example.com"},
                                     {Type::kA, "h.example.com", "192.0.2.1"}}),
            "pass"},
        Row{"5.5 unproven",
            with("v=spf1 ptr -all", {{Type::kPtr, "1.2.0.192.in-addr.arpa", "h.example.com"},
                                     {Type::kA, "h.example.com", "192.0.2.2"}}),
            "fail"},
        Row{"5.5 DNS error is no match",
            with("v=spf1 ptr -all", {{Type::kPtr, "1.2.0.192.in-addr.arpa", "!servfail"}}), "fail"},
        // 5.6 ip4, ip6
        Row{"5.6 ip4", record("v=spf1 ip4:192.0.2.1 -all"), "pass"},
        Row{"5.6 ip4 net", record("v=spf1 ip4:192.0.0.0/16 -all"), "pass"},
        Row{"5.6 ip4 /0", record("v=spf1 ip4:10.0.0.0/0 -all"), "pass"},
        Row{"5.6 ip4 bad", record("v=spf1 ip4:192.0.2 -all"), "permerror"},
        Row{"5.6 ip6", record("v=spf1 ip6:2001:db8::/32 -all"), "pass", kV6},
        Row{"5.6 ip6 /0", record("v=spf1 ip6:::/0 -all"), "pass", kV6},
        Row{"5.6 ip4 for v6", record("v=spf1 ip4:0.0.0.0/0 -all"), "fail", kV6},
        Row{"5.6 ip6 for v4", record("v=spf1 ip6:::/0 -all"), "fail"},
        Row{"5 v4-mapped", record("v=spf1 ip4:192.0.2.1 -all"), "pass", kMapped},
        Row{"no free ride for loopback", record("v=spf1 -all"), "fail", kLoopback},
        // 5.7 exists, 7 macros
        Row{"5.7 exists",
            with("v=spf1 exists:%{ir}.%{v}._spf.%{d} -all",
                 {{Type::kA, "1.2.0.192.in-addr._spf.example.com", "127.0.0.2"}}),
            "pass"},
        Row{"5.7 not there", record("v=spf1 exists:x.%{d} -all"), "fail"},
        Row{"7.3 sender",
            with("v=spf1 exists:%{l}.%{o2}.%{h}.a.net -all",
                 {{Type::kA, "user.example.com.mail.example.com.a.net", "127.0.0.2"}}),
            "pass"},
        Row{"7.3 transformers",
            with("v=spf1 exists:%{l1r-}.a.net -all", {{Type::kA, "strong.a.net", "127.0.0.2"}}),
            "pass", from("strong-bad@example.com")},
        Row{"7.1 bad letter", record("v=spf1 exists:%{z}.a.net -all"), "permerror"},
        Row{"7.1 zero digits", record("v=spf1 exists:%{d0}.a.net -all"), "permerror"},
        Row{"7.1 unclosed", record("v=spf1 exists:%{d -all"), "permerror"},
        Row{"7.1 lone percent", record("v=spf1 exists:%.a.net -all"), "permerror"},
        Row{"7.1 c only in exp", record("v=spf1 exists:%{c}.a.net -all"), "permerror"},
        // 6.1 redirect
        Row{"6.1 redirect",
            with("v=spf1 redirect=a.net", {{Type::kTxt, "a.net", "v=spf1 ip4:192.0.2.1 -all"}}),
            "pass"},
        Row{"6.1 redirect to none", record("v=spf1 redirect=a.net"), "permerror"},
        Row{"6.1 ignored beside all", record("v=spf1 redirect=a.net ~all"), "softfail"},
        Row{"6.1 redirect to fail",
            with("v=spf1 redirect=a.net", {{Type::kTxt, "a.net", "v=spf1 -all"}}), "fail"},
        // 4.6.4 limits
        Row{"4.6.4 ten terms", includes(10), "pass"},
        Row{"4.6.4 eleven terms", includes(11), "permerror"},
        Row{"4.6.4 ten nested terms", nested_includes(10), "pass"},
        Row{"4.6.4 eleven nested terms", nested_includes(11), "permerror"},
        Row{"4.6.4 two voids", record("v=spf1 a:a.net a:b.net ip4:192.0.2.1 -all"), "pass"},
        Row{"4.6.4 three voids", record("v=spf1 a:a.net a:b.net a:c.net ip4:192.0.2.1 -all"),
            "permerror"}));

std::vector<std::tuple<Type, std::string, std::string>> exchangers(int count) {
  auto zone = record("v=spf1 mx -all");
  for (int i = 0; i < count; ++i) {
    const std::string host = "m" + std::to_string(i) + ".net";
    zone.emplace_back(Type::kMx, "example.com", "10 " + host);
    zone.emplace_back(Type::kA, host, i == count - 1 ? "192.0.2.1" : "203.0.113.1");
  }
  return zone;
}

INSTANTIATE_TEST_SUITE_P(Exchangers, SpfTable,
                         testing::Values(Row{"4.6.4 ten", exchangers(10), "pass"},
                                         Row{"4.6.4 eleven", exchangers(11), "permerror"}));

TEST(Spf, ExchangersAreAskedForInOneRound) {
  Zone zone;
  for (const auto& [type, name, text] : exchangers(10)) zone.add(type, name, text);
  const Replayed result = replay({"192.0.2.1", "h.example", "u@example.com", "r"}, zone);
  EXPECT_EQ(result.rounds, 3);  // TXT, MX, all addresses
  EXPECT_EQ(result.asked.size(), 12U);
}

spf::Verdict explained(const std::vector<std::pair<std::string, std::string>>& txt) {
  Zone zone;
  for (const auto& [name, text] : txt) zone.add(Type::kTxt, name, text);
  return replay({"192.0.2.1", "h.example", "u@example.com", "relay.test"}, zone).verdict;
}

TEST(Spf, Explanation) {
  // RFC 7208 6.2
  const auto verdict = explained({{"example.com", "v=spf1 exp=why.%{d} -all"},
                                  {"why.example.com", "%{i} is not of %{d}%_says %{r}"}});
  EXPECT_EQ(spf::name(verdict.result), "fail");
  EXPECT_EQ(verdict.explanation, "192.0.2.1 is not of example.com says relay.test");
}

TEST(Spf, ExplanationOfTheRedirectTargetOnly) {
  EXPECT_EQ(explained({{"example.com", "v=spf1 redirect=b.net exp=why.a.net"},
                       {"b.net", "v=spf1 exp=why.b.net -all"},
                       {"why.a.net", "a"},
                       {"why.b.net", "b"}})
                .explanation,
            "b");
  EXPECT_EQ(explained({{"example.com", "v=spf1 redirect=b.net exp=why.a.net"},
                       {"b.net", "v=spf1 -all"},
                       {"why.a.net", "a"}})
                .explanation,
            "");
}

TEST(Spf, ExplanationOfAnIncludeIsNotUsed) {
  EXPECT_EQ(explained({{"example.com", "v=spf1 include:b.net -all"},
                       {"b.net", "v=spf1 include:c.net exp=why.b.net -all"},
                       {"c.net", "v=spf1 -all"},
                       {"why.b.net", "b"}})
                .explanation,
            "");
}

TEST(Spf, HostileExplanationIsDropped) {
  const std::string controls = "line one\r\nX-Evil: yes";
  EXPECT_EQ(
      explained({{"example.com", "v=spf1 exp=why.net.example -all"}, {"why.net.example", controls}})
          .explanation,
      "");
  EXPECT_EQ(
      explained({{"example.com", "v=spf1 exp=why.net.example -all"}, {"why.net.example", "%{"}})
          .explanation,
      "");
}

TEST(Spf, PassAsksForNoExplanation) {
  Zone zone;
  zone.add(Type::kTxt, "example.com", "v=spf1 include:b.net exp=why.a.net ip4:192.0.2.1 -all");
  zone.add(Type::kTxt, "b.net", "v=spf1 -all");
  const Replayed result = replay({"192.0.2.1", "h.example", "u@example.com", "r"}, zone);
  EXPECT_EQ(spf::name(result.verdict.result), "pass");
  for (const auto& question : result.asked) EXPECT_NE(question.name, "why.a.net");
}

TEST(Spf, HostileInputsEndInAVerdict) {
  const std::vector<std::string> records = {
      "v=spf1 " + std::string(5000, 'a'),
      "v=spf1 exists:" + std::string(300, 'a') + ".%{l}.%{s}.com -all",
      "v=spf1 exists:%{l}.%{l}.%{l}.%{l}.example.com -all",
      "v=spf1 a:" + std::string(240, '%') + "%.com -all",
      "v=spf1 exp=%{p}.%{p} -all",
      "v=spf1 " + std::string(250, '+'),
      "v=spf1 exists:%{s127r.-+,/_=}.com",
      "v=spf1 ptr:%{p}.com mx:%{p}.com -all"};
  for (const std::string& text : records) {
    for (const std::string& local : {std::string("u"), std::string(500, '.'),
                                     std::string("%{l}%n%s"), std::string("\"a b\"@c")}) {
      Zone zone;
      zone.add(Type::kTxt, "example.com", text);
      zone.add(Type::kPtr, "1.2.0.192.in-addr.arpa", std::string(300, 'x') + ".net");
      const auto verdict =
          replay({"192.0.2.1", std::string(2000, 'h'), local + "@example.com", "r"}, zone).verdict;
      EXPECT_FALSE(verdict.reason.empty()) << text;
    }
  }
}

}  // namespace
