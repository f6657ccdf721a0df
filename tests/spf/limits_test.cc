// How many questions a hostile sender's records can cause, and in how many rounds.
#include <gtest/gtest.h>

#include <set>

#include "spf/cases.h"

namespace spf_test {
namespace {

struct Attack {
  std::string what;
  Zone zone;
};

std::string host(int i, int j) {
  return "h" + std::to_string(i) + "x" + std::to_string(j) + ".example.net";
}

// Ten exchangers with names of their own; none is the client.
void add_exchangers(Zone& zone, const std::string& domain, int i) {
  for (int j = 0; j < 10; ++j) {
    zone.add(domain + " MX 10 " + host(i, j));
    zone.add(host(i, j) + " A 203.0.113.1");
  }
}

Attack ten_mx() {
  Attack attack{"ten mx of ten exchangers each", {}};
  std::string record = "v=spf1";
  for (int i = 0; i < 10; ++i) {
    const std::string domain = "e" + std::to_string(i) + ".example.net";
    record += " mx:" + domain;
    add_exchangers(attack.zone, domain, i);
  }
  attack.zone.add("example.com TXT " + record + " -all");
  return attack;
}

// Every record includes ten more of them, each with an mx in front.
Attack include_tree() {
  Attack attack{"a tree of includes, ten in each record", {}};
  const auto record = [](const std::string& path) {
    std::string text = "v=spf1 mx";
    for (int i = 0; i < 10; ++i) text += " include:t" + path + std::to_string(i) + ".example.net";
    return text + " -all";
  };
  attack.zone.add("example.com TXT " + record(""));
  add_exchangers(attack.zone, "example.com", 0);
  int count = 1;
  for (int i = 0; i < 111; ++i) {
    const std::string path = std::to_string(i);
    const std::string domain = "t" + path + ".example.net";
    attack.zone.add(domain + " TXT " + record(path));
    add_exchangers(attack.zone, domain, count++);
  }
  return attack;
}

Attack include_chain() {
  Attack attack{"a chain of includes without an end, an mx in each", {}};
  for (int i = 0; i < 30; ++i) {
    const std::string domain = i == 0 ? "example.com" : "c" + std::to_string(i) + ".example.net";
    attack.zone.add(domain + " TXT v=spf1 mx include:c" + std::to_string(i + 1) +
                    ".example.net -all");
    add_exchangers(attack.zone, domain, i);
  }
  return attack;
}

Attack names_of_the_client() {
  Attack attack{"a PTR of a hundred names, and %{p} everywhere", {}};
  for (int i = 0; i < 100; ++i) {
    attack.zone.add("1.2.0.192.in-addr.arpa PTR " + host(i, 0));
    attack.zone.add(host(i, 0) + " A 203.0.113.1");
  }
  attack.zone.add(
      "example.com TXT v=spf1 ptr ptr:%{p} exists:%{p}.a.net exists:%{p}.b.net mx:%{p} a:%{p}.c "
      "exp=%{p}.d.net -all");
  return attack;
}

Attack all_void() {
  Attack attack{"names that are not there", {}};
  std::string record = "v=spf1";
  for (int i = 0; i < 10; ++i) record += " exists:" + host(i, 0);
  attack.zone.add("example.com TXT " + record + " -all");
  return attack;
}

std::vector<Attack> attacks() {
  return {ten_mx(), include_tree(), include_chain(), names_of_the_client(), all_void()};
}

TEST(SpfLimits, NoRecordCausesMoreQuestionsThanTheLimit) {
  for (const spf::Engine engine : {spf::Engine::kNative, spf::Engine::kLibspf2}) {
    for (const std::int64_t queries_max : {std::int64_t{1}, std::int64_t{12}, std::int64_t{80}}) {
      for (const Attack& attack : attacks()) {
        base::Limits limits;
        limits.dns_queries = queries_max;
        const Replayed result = replay(ordinary(), attack.zone, engine, limits);
        const std::set<dns::Question> distinct(result.asked.begin(), result.asked.end());
        EXPECT_EQ(distinct.size(), result.asked.size()) << attack.what;
        EXPECT_LE(distinct.size(), static_cast<std::size_t>(queries_max)) << attack.what;
        EXPECT_LE(result.rounds, limits.dns_rounds) << attack.what;
      }
    }
  }
}

TEST(SpfLimits, TooManyQueriesArePermerror) {
  const auto verdict = replay(ordinary(), ten_mx().zone).verdict;
  EXPECT_EQ(spf::name(verdict.result), "permerror");
  EXPECT_EQ(verdict.reason, "example.com: the check needs more than 80 DNS queries");
}

TEST(SpfLimits, ThePtrOfAClientIsBoundedByTenNames) {
  Zone zone;
  for (int i = 0; i < 100; ++i) zone.add("1.2.0.192.in-addr.arpa PTR " + host(i, 0));
  zone.add("example.com TXT v=spf1 ptr -all");
  EXPECT_EQ(replay(ordinary(), zone).asked.size(), 12U);  // TXT, PTR, ten addresses
}

TEST(SpfLimits, ARepeatedQuestionIsFree) {
  Zone zone({"example.com TXT v=spf1 mx mx mx mx/24 mx//64 a:m.net a:m.net ip4:192.0.2.1 -all",
             "example.com MX 10 m.net", "m.net A 203.0.113.1"});
  base::Limits limits;
  limits.dns_queries = 3;
  const Replayed result = replay(ordinary(), zone, spf::Engine::kNative, limits);
  EXPECT_EQ(spf::name(result.verdict.result), "pass") << result.verdict.reason;
  EXPECT_EQ(result.asked.size(), 3U);
}

TEST(SpfLimits, AnExplanationBeyondTheLimitChangesNoResult) {
  Zone zone({"example.com TXT v=spf1 a exp=why.net.example -all", "example.com A 203.0.113.1",
             "why.net.example TXT because"});
  base::Limits limits;
  limits.dns_queries = 2;
  const Replayed result = replay(ordinary(), zone, spf::Engine::kNative, limits);
  EXPECT_EQ(spf::name(result.verdict.result), "fail");
  EXPECT_EQ(result.verdict.explanation, "");
}

TEST(SpfLimits, ExchangersAreAskedForInOneRound) {
  Zone zone;
  zone.add("example.com TXT v=spf1 mx -all");
  add_exchangers(zone, "example.com", 0);
  const Replayed result = replay(ordinary(), zone);
  EXPECT_EQ(result.rounds, 3);  // TXT, MX, all addresses
  EXPECT_EQ(result.asked.size(), 12U);
}

// A third of the answers never come: whatever arrives late, the verdict is one of the seven, and
// no limit is passed.
TEST(SpfLimits, FailingAnswersEndInAVerdict) {
  for (const Attack& attack : attacks()) {
    const spf::Request request = ordinary();
    dns::Answers answers;
    std::size_t asked = 0;
    spf::Outcome outcome;
    for (int round = 0; round < 60 && !outcome.verdict; ++round) {
      outcome = spf::evaluate(request, answers, base::Limits{});
      for (const dns::Question& question : outcome.missing) {
        dns::Answer answer = attack.zone.answer(question);
        if (++asked % 3 == 0) answer = {dns::Status::kTimeout, {}, false};
        answers.put(question, answer);
      }
    }
    ASSERT_TRUE(outcome.verdict) << attack.what;
    EXPECT_LE(asked, 60U) << attack.what;
  }
}

}  // namespace
}  // namespace spf_test
