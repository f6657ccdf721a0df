// DMARC by RFC 9989, replayed against a zone of TXT records.
#include "policy/dmarc.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "core/mail/headers.h"
#include "policy/dmarc_record.h"

namespace {

using dns::Status;
using dns::Type;
using Records = std::vector<std::pair<std::string, std::string>>;

struct Row {
  const char* what;
  std::string from;      // the From field's body
  std::string spf;       // the domain that passed, or ""
  std::string dkim;      // the domain that passed, or ""
  Records txt;           // name, record; "!servfail" and the like; other names are NXDOMAIN
  std::string expected;  // "result policy policy_domain spf dkim", - for nothing
};

dns::Answer answer_of(const Records& zone, const dns::Question& question) {
  dns::Answer answer;
  answer.status = Status::kNxDomain;
  if (question.type == Type::kA) {  // "exists:NAME" rows
    for (const auto& [name, text] : zone) {
      if (name == "exists:" + question.name) answer.status = Status::kNoData;
    }
    return answer;
  }
  for (const auto& [name, text] : zone) {
    if (name != question.name) continue;
    if (text == "!servfail") answer.status = Status::kServFail;
    if (text == "!timeout") answer.status = Status::kTimeout;
    if (text == "!nodata") answer.status = Status::kNoData;
    if (text.starts_with('!')) return answer;
    answer.status = Status::kOk;
    answer.records.push_back(text);
  }
  return answer;
}

struct Replayed {
  policy::DmarcVerdict verdict;
  std::vector<dns::Question> asked;
  int rounds = 0;
};

Replayed replay(const std::string& header, const spf::Verdict& spf,
                const std::vector<dkim::SignatureVerdict>& dkim, const Records& zone) {
  Replayed result;
  const auto headers = mail::Headers::scan(header, 100);
  EXPECT_TRUE(headers.ok());
  dns::Answers answers;
  for (; result.rounds < 10; ++result.rounds) {
    const auto outcome = policy::evaluate_dmarc(*headers, spf, dkim, answers);
    if (outcome.verdict) {
      EXPECT_TRUE(outcome.missing.empty());
      result.verdict = *outcome.verdict;
      return result;
    }
    EXPECT_FALSE(outcome.missing.empty());
    for (const dns::Question& question : outcome.missing) {
      EXPECT_EQ(answers.find(question), nullptr) << question.name << " asked twice";
      answers.put(question, answer_of(zone, question));
      result.asked.push_back(question);
    }
  }
  ADD_FAILURE() << "never decided";
  return result;
}

spf::Verdict spf_pass(const std::string& domain) {
  spf::Verdict verdict;
  verdict.result = domain.empty() ? spf::Result::kNone : spf::Result::kPass;
  verdict.domain = domain;
  return verdict;
}

std::vector<dkim::SignatureVerdict> dkim_pass(const std::string& domain) {
  if (domain.empty()) return {};
  dkim::SignatureVerdict verdict;
  verdict.domain = domain;
  verdict.result = dkim::Result::kPass;
  return {verdict};
}

std::string summary(const policy::DmarcVerdict& verdict) {
  return std::string(policy::name(verdict.result)) + " " + verdict.policy + " " +
         (verdict.policy_domain.empty() ? "-" : verdict.policy_domain) + " " +
         (verdict.spf_aligned ? "spf" : "-") + " " + (verdict.dkim_aligned ? "dkim" : "-");
}

class DmarcTable : public testing::TestWithParam<Row> {};

TEST_P(DmarcTable, Verdict) {
  const Row& row = GetParam();
  const auto result =
      replay("From: " + row.from + "\r\n", spf_pass(row.spf), dkim_pass(row.dkim), row.txt);
  EXPECT_EQ(summary(result.verdict), row.expected) << row.what << ": " << result.verdict.reason;
  EXPECT_FALSE(result.verdict.reason.empty());
}

const Records kReject = {{"_dmarc.example.com", "v=DMARC1; p=reject"}};
Records record(const std::string& text) { return {{"_dmarc.example.com", text}}; }

INSTANTIATE_TEST_SUITE_P(
    Rfc9989, DmarcTable,
    testing::Values(
        // 4.4 alignment
        Row{"4.4 spf equal", "a@example.com", "example.com", "", kReject,
            "pass reject example.com spf -"},
        Row{"4.4 dkim equal", "a@example.com", "", "example.com", kReject,
            "pass reject example.com - dkim"},
        Row{"4.4 both", "a@example.com", "example.com", "example.com", kReject,
            "pass reject example.com spf dkim"},
        Row{"4.4 relaxed below", "a@example.com", "bounce.example.com", "", kReject,
            "pass reject example.com spf -"},
        Row{"4.4 relaxed above", "a@news.example.com", "", "example.com", kReject,
            "pass reject example.com - dkim"},
        Row{"4.4 relaxed siblings", "a@news.example.com", "mail.example.com", "", kReject,
            "pass reject example.com spf -"},
        Row{"4.4 other domain", "a@example.com", "example.net", "sender.test", kReject,
            "fail reject example.com - -"},
        Row{"4.4 suffix is no parent", "a@example.com", "", "evilexample.com", kReject,
            "fail reject example.com - -"},
        Row{"4.4 strict spf", "a@example.com", "b.example.com", "",
            record("v=DMARC1; p=reject; aspf=s"), "fail reject example.com - -"},
        Row{"4.4 strict dkim", "a@example.com", "", "b.example.com",
            record("v=DMARC1; p=reject; adkim=s"), "fail reject example.com - -"},
        Row{"4.4 strict dkim, spf relaxed", "a@example.com", "b.example.com", "b.example.com",
            record("v=DMARC1; p=reject; adkim=s"), "pass reject example.com spf -"},
        Row{"4.4 case", "a@EXAMPLE.com", "", "Example.COM", kReject,
            "pass reject example.com - dkim"},
        Row{"4.4 IDN",
            "a@b\xc3\xbc"
            "cher.example",
            "",
            "xn--bcher-kva.example",
            {{"_dmarc.xn--bcher-kva.example", "v=DMARC1; p=reject"}},
            "pass reject xn--bcher-kva.example - dkim"},
        // 4.7, 4.8 records
        Row{"4.7 no record", "a@example.com", "example.com", "", {}, "none none - - -"},
        Row{"4.7 none", "a@example.com", "", "", record("v=DMARC1; p=none"),
            "fail none example.com - -"},
        Row{"4.7 quarantine", "a@example.com", "", "", record("v=DMARC1;p=quarantine"),
            "fail quarantine example.com - -"},
        Row{"4.7 p missing", "a@example.com", "", "", record("v=DMARC1; rua=mailto:x@example.com"),
            "fail none example.com - -"},
        Row{"4.7 p not second", "a@example.com", "", "", record("v=DMARC1; sp=none; p=reject"),
            "fail reject example.com - -"},
        Row{"4.7 blanks and unknown tags", "a@example.com", "", "",
            record("v = DMARC1 ; foo=bar ; P = Reject ;;"), "fail reject example.com - -"},
        Row{"4.7 t=y reject", "a@example.com", "", "", record("v=DMARC1; p=reject; t=y"),
            "fail quarantine example.com - -"},
        Row{"4.7 t=y quarantine", "a@example.com", "", "", record("v=DMARC1; p=quarantine; t=y"),
            "fail none example.com - -"},
        Row{"4.8 version in capitals only", "a@example.com", "", "", record("v=dmarc1; p=reject"),
            "none none - - -"},
        Row{"4.8 version first", "a@example.com", "", "", record("p=reject; v=DMARC1"),
            "none none - - -"},
        Row{"4.8 DMARC10", "a@example.com", "", "", record("v=DMARC10; p=reject"),
            "none none - - -"},
        Row{"4.10 other TXT beside it",
            "a@example.com",
            "",
            "",
            {{"_dmarc.example.com", "hello"}, {"_dmarc.example.com", "v=DMARC1; p=reject"}},
            "fail reject example.com - -"},
        Row{"4.10 two records",
            "a@example.com",
            "",
            "",
            {{"_dmarc.example.com", "v=DMARC1; p=reject"},
             {"_dmarc.example.com", "v=DMARC1; p=none"}},
            "none none - - -"},
        Row{"4.10 invalid p, no reports", "a@example.com", "", "", record("v=DMARC1; p=foo"),
            "none none example.com - -"},
        Row{"4.10 invalid p, reports", "a@example.com", "", "",
            record("v=DMARC1; p=foo; rua=mailto:x@example.com"), "fail none example.com - -"},
        // 4.10.1 policy discovery
        Row{"4.10.1 own record first",
            "a@b.example.com",
            "",
            "",
            {{"_dmarc.example.com", "v=DMARC1; p=reject"},
             {"_dmarc.b.example.com", "v=DMARC1; p=none"}},
            "fail none b.example.com - -"},
        Row{"4.10.1 p for subdomains",
            "a@b.example.com",
            "",
            "",
            {{"_dmarc.example.com", "v=DMARC1; p=reject"}, {"_dmarc.b.example.com", "!nodata"}},
            "fail reject example.com - -"},
        Row{"4.7 sp",
            "a@b.example.com",
            "",
            "",
            {{"_dmarc.example.com", "v=DMARC1; p=reject; sp=quarantine"},
             {"exists:b.example.com", ""}},
            "fail quarantine example.com - -"},
        Row{"4.7 sp is not for the domain itself", "a@example.com", "", "",
            record("v=DMARC1; p=none; sp=reject; np=reject"), "fail none example.com - -"},
        Row{"4.7 np, no such domain", "a@b.example.com", "", "",
            record("v=DMARC1; p=none; sp=quarantine; np=reject"), "fail reject example.com - -"},
        Row{"4.7 np, the domain is there",
            "a@b.example.com",
            "",
            "",
            {{"_dmarc.example.com", "v=DMARC1; p=none; sp=quarantine; np=reject"},
             {"exists:b.example.com", ""}},
            "fail quarantine example.com - -"},
        Row{"4.7 np alone falls on p",
            "a@b.example.com",
            "",
            "",
            {{"_dmarc.example.com", "v=DMARC1; p=quarantine; np=reject"},
             {"exists:b.example.com", ""}},
            "fail quarantine example.com - -"},
        // 4.10.2 organizational domain
        Row{"4.10.2 the shortest name with a record",
            "a@a.b.example.com",
            "",
            "c.example.com",
            {{"_dmarc.b.example.com", "v=DMARC1; p=none"},
             {"_dmarc.example.com", "v=DMARC1; p=reject"}},
            "pass reject example.com - dkim"},
        Row{"4.10.2 psd=n ends the walk",
            "a@b.example.com",
            "",
            "example.com",
            {{"_dmarc.b.example.com", "v=DMARC1; p=reject; psd=n"},
             {"_dmarc.example.com", "v=DMARC1; p=none"}},
            "fail reject b.example.com - -"},
        Row{"4.10.2 psd=n below",
            "a@example.com",
            "",
            "b.example.com",
            {{"_dmarc.b.example.com", "v=DMARC1; p=reject; psd=n"},
             {"_dmarc.example.com", "v=DMARC1; p=reject"}},
            "fail reject example.com - -"},
        Row{"4.10.2 psd=y: one label below",
            "a@mail.bank.co.test",
            "",
            "bank.co.test",
            {{"_dmarc.co.test", "v=DMARC1; p=reject; psd=y"}},
            "pass reject co.test - dkim"},
        Row{"4.10.2 psd=y: another customer",
            "a@bank.co.test",
            "",
            "evil.co.test",
            {{"_dmarc.co.test", "v=DMARC1; p=reject; psd=y"}},
            "fail reject co.test - -"},
        Row{"4.10.2 psd=y at the author domain",
            "a@us.test",
            "",
            "evil.us.test",
            {{"_dmarc.us.test", "v=DMARC1; p=reject; psd=y"}},
            "fail reject us.test - -"},
        Row{"4.10.1 organization before PSD",
            "a@mail.bank.co.test",
            "",
            "",
            {{"_dmarc.co.test", "v=DMARC1; p=reject; psd=y"},
             {"_dmarc.bank.co.test", "v=DMARC1; p=none; sp=quarantine"}},
            "fail quarantine bank.co.test - -"},
        Row{"4.10.2 no record anywhere below the other",
            "a@b.example.com",
            "",
            "c.example.com",
            {},
            "none none - - -"},
        // DNS trouble
        Row{"temporary at the domain", "a@example.com", "example.com", "", record("!servfail"),
            "temperror none - - -"},
        Row{"temporary above",
            "a@b.example.com",
            "",
            "",
            {{"_dmarc.b.example.com", "v=DMARC1; p=reject"}, {"_dmarc.example.com", "!timeout"}},
            "temperror none - - -"},
        Row{"temporary at a signer",
            "a@example.com",
            "",
            "b.example.com",
            {{"_dmarc.example.com", "v=DMARC1; p=reject"}, {"_dmarc.b.example.com", "!timeout"}},
            "temperror reject example.com - -"},
        Row{"temporary at a signer, SPF aligned",
            "a@example.com",
            "example.com",
            "b.example.com",
            {{"_dmarc.example.com", "v=DMARC1; p=reject"}, {"_dmarc.b.example.com", "!timeout"}},
            "pass reject example.com spf -"},
        Row{"no failure past a psd tag matters",
            "a@example.com",
            "",
            "",
            {{"_dmarc.example.com", "v=DMARC1; p=reject; psd=n"}, {"_dmarc.com", "!timeout"}},
            "fail reject example.com - -"},
        // 5.3.1 the author domain
        Row{"5.3.1 display name", "\"x@evil.net\" <a@example.com>", "", "example.com", kReject,
            "pass reject example.com - dkim"},
        Row{"5.3.1 two authors, one domain", "a@example.com, b@Example.com", "", "example.com",
            kReject, "pass reject example.com - dkim"},
        Row{"5.3.1 two authors, two domains", "a@example.com, b@example.net", "", "example.com",
            kReject, "permerror none - - -"},
        Row{"5.3.1 no address", "nobody", "", "", kReject, "permerror none - - -"},
        Row{"5.3.1 empty group", "undisclosed:;", "", "", kReject, "permerror none - - -"},
        Row{"5.3.1 literal", "a@[192.0.2.1]", "", "", kReject, "permerror none - - -"}));

TEST(Dmarc, FromFieldsAreCounted) {
  const std::string from = "From: a@example.com\r\n";
  EXPECT_EQ(summary(replay("Subject: x\r\n", {}, {}, kReject).verdict), "permerror none - - -");
  EXPECT_EQ(summary(replay(from + from, {}, dkim_pass("example.com"), kReject).verdict),
            "permerror none - - -");
}

TEST(Dmarc, FailedSignaturesAndSoftfailDoNotAlign) {
  auto signatures = dkim_pass("example.com");
  signatures[0].result = dkim::Result::kFail;
  auto spf = spf_pass("example.com");
  spf.result = spf::Result::kSoftFail;
  EXPECT_EQ(summary(replay("From: a@example.com\r\n", spf, signatures, kReject).verdict),
            "fail reject example.com - -");
}

TEST(Dmarc, AnyOfSeveralSignaturesAligns) {
  auto signatures = dkim_pass("esp.test");
  signatures.push_back(dkim_pass("example.com").front());
  const auto result = replay("From: a@example.com\r\n", {}, signatures, kReject);
  EXPECT_EQ(summary(result.verdict), "pass reject example.com - dkim");
  EXPECT_EQ(result.rounds, 1);  // the whole walk is asked for at once, nothing about esp.test
  for (const auto& question : result.asked) EXPECT_EQ(question.name.find("esp"), std::string::npos);
}

TEST(Dmarc, WalkNames) {
  // RFC 9989 4.10: at most eight queries, long names continue at seven labels
  using Names = std::vector<std::string>;
  EXPECT_EQ(policy::walk_names("example.com"), (Names{"example.com", "com"}));
  EXPECT_EQ(policy::walk_names("com"), (Names{"com"}));
  EXPECT_EQ(policy::walk_names("1.2.3.4.5.6.7").size(), 7U);
  const Names eight = {"1.2.3.4.5.6.7.8", "2.3.4.5.6.7.8", "3.4.5.6.7.8", "4.5.6.7.8",
                       "5.6.7.8",         "6.7.8",         "7.8",         "8"};
  EXPECT_EQ(policy::walk_names("1.2.3.4.5.6.7.8"), eight);
  const auto many = policy::walk_names("a.b.c.d.1.2.3.4.5.6.7.8");
  EXPECT_EQ(many.size(), 8U);
  EXPECT_EQ(many[1], "2.3.4.5.6.7.8");
}

}  // namespace
