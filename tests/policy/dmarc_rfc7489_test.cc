// DMARC by RFC 7489: the public suffix list in place of the tree walk, pct in place of t.
#include <gtest/gtest.h>

#include <string>

#include "policy/dmarc_fixture.h"
#include "policy/public_suffix.h"

namespace {

using dmarc_test::check;
using dmarc_test::replay;
using dmarc_test::Row;
using dmarc_test::summary;
using dmarc_test::Zone;
using policy::DmarcProfile;

Zone record(const std::string& text) { return {{"_dmarc.example.co.uk", text}}; }
const Zone kReject = record("v=DMARC1; p=reject");

class Dmarc7489 : public testing::TestWithParam<Row> {};
TEST_P(Dmarc7489, Verdict) { check(GetParam(), DmarcProfile::kRfc7489); }

INSTANTIATE_TEST_SUITE_P(
    Rfc7489, Dmarc7489,
    testing::Values(
        Row{"3.1.1 dkim, relaxed", "a@news.example.co.uk", "", "mail.example.co.uk", kReject,
            "pass reject example.co.uk - dkim"},
        Row{"3.1.2 spf, relaxed", "a@example.co.uk", "b.example.co.uk", "", kReject,
            "pass reject example.co.uk spf -"},
        Row{"3.1.1 adkim=s", "a@example.co.uk", "", "b.example.co.uk",
            record("v=DMARC1; p=reject; adkim=s"), "fail reject example.co.uk - -"},
        Row{"3.1.2 aspf=s", "a@example.co.uk", "b.example.co.uk", "",
            record("v=DMARC1; p=reject; aspf=s"), "fail reject example.co.uk - -"},
        Row{"3.1.1 a public suffix signs for what lies below", "a@example.co.uk", "", "co.uk",
            kReject, "fail reject example.co.uk - -"},
        Row{"3.1.1 for a public suffix",
            "a@co.uk",
            "",
            "example.co.uk",
            {{"_dmarc.co.uk", "v=DMARC1; p=reject"}},
            "fail reject co.uk - -"},
        Row{"3.1.1 a public suffix's own mail",
            "a@co.uk",
            "",
            "co.uk",
            {{"_dmarc.co.uk", "v=DMARC1; p=reject"}},
            "pass reject co.uk - dkim"},
        Row{"3.1.1 two customers of one suffix", "a@example.co.uk", "other.co.uk", "other.co.uk",
            kReject, "fail reject example.co.uk - -"},
        Row{"3.2 a suffix nobody listed has one label",
            "a@x.org.madeup",
            "",
            "y.org.madeup",
            {{"_dmarc.org.madeup", "v=DMARC1; p=reject"}},
            "pass reject org.madeup - dkim"},
        Row{"6.6.3 the author domain's record first",
            "a@b.example.co.uk",
            "",
            "",
            {{"_dmarc.b.example.co.uk", "v=DMARC1; p=none; sp=reject"},
             {"_dmarc.example.co.uk", "v=DMARC1; p=reject"}},
            "fail none b.example.co.uk - -"},
        Row{"6.6.3 then the organizational domain's, none between",
            "a@a.b.example.co.uk",
            "",
            "",
            {{"_dmarc.b.example.co.uk", "v=DMARC1; p=none"},
             {"_dmarc.example.co.uk", "v=DMARC1; p=reject"}},
            "fail reject example.co.uk - -"},
        Row{"6.6.3 never the suffix's",
            "a@example.co.uk",
            "",
            "",
            {{"_dmarc.co.uk", "v=DMARC1; p=reject; psd=y"}},
            "none none - - -"},
        Row{"6.6.3 several records end the search",
            "a@b.example.co.uk",
            "",
            "",
            {{"_dmarc.b.example.co.uk", "v=DMARC1; p=none"},
             {"_dmarc.b.example.co.uk", "v=DMARC1; p=none"},
             {"_dmarc.example.co.uk", "v=DMARC1; p=reject"}},
            "none none - - -"},
        Row{"6.6.3 other texts do not end it",
            "a@b.example.co.uk",
            "",
            "",
            {{"_dmarc.b.example.co.uk", "hello"}, {"_dmarc.example.co.uk", "v=DMARC1; p=reject"}},
            "fail reject example.co.uk - -"},
        Row{"6.3 sp", "a@b.example.co.uk", "", "", record("v=DMARC1; p=reject; sp=none"),
            "fail none example.co.uk - -"},
        Row{"6.6.3 p missing", "a@example.co.uk", "", "", record("v=DMARC1; sp=reject"),
            "none none - - -"},
        Row{"6.6.3 p missing, reports", "a@example.co.uk", "", "",
            record("v=DMARC1; rua=mailto:d@example.co.uk"), "fail none example.co.uk - -"},
        Row{"6.6.3 p invalid", "a@example.co.uk", "", "", record("v=DMARC1; p=foo"),
            "none none - - -"},
        Row{"6.6.3 sp invalid, reports", "a@example.co.uk", "", "",
            record("v=DMARC1; p=reject; sp=foo; rua=mailto:d@example.co.uk!10m"),
            "fail none example.co.uk - -"},
        Row{"6.3 np, t and psd are unknown tags", "a@b.example.co.uk", "", "c.example.co.uk",
            record("v=DMARC1; p=reject; np=foo; t=y; psd=y"), "pass reject example.co.uk - dkim"},
        Row{"6.6.4 pct=0, reject", "a@example.co.uk", "", "", record("v=DMARC1; p=reject; pct=0"),
            "fail quarantine example.co.uk - -"},
        Row{"6.6.4 pct=0, quarantine", "a@example.co.uk", "", "",
            record("v=DMARC1; p=quarantine; pct=0"), "fail none example.co.uk - -"},
        Row{"6.6.4 pct=100", "a@example.co.uk", "", "", record("v=DMARC1; p=reject; pct=100"),
            "fail reject example.co.uk - -"},
        Row{"6.3 pct out of range: the default", "a@example.co.uk", "", "",
            record("v=DMARC1; p=reject; pct=101"), "fail reject example.co.uk - -"},
        Row{"6.3 pct is no number: the default", "a@example.co.uk", "", "",
            record("v=DMARC1; p=reject; pct=-1"), "fail reject example.co.uk - -"},
        Row{"6.6.1 two domains", "a@example.co.uk, b@other.co.uk", "", "example.co.uk", kReject,
            "none none - - -"},
        Row{"6.6.3 DNS fails at the author domain",
            "a@b.example.co.uk",
            "",
            "b.example.co.uk",
            {{"_dmarc.b.example.co.uk", "!servfail"},
             {"_dmarc.example.co.uk", "v=DMARC1; p=reject"}},
            "temperror none - - -"},
        Row{"6.6.3 DNS fails at the organizational domain", "a@b.example.co.uk", "",
            "b.example.co.uk", record("!timeout"), "temperror none - - -"},
        Row{"6.6.3 DNS fails where it is not needed",
            "a@b.example.co.uk",
            "",
            "c.example.co.uk",
            {{"_dmarc.b.example.co.uk", "v=DMARC1; p=reject"},
             {"_dmarc.example.co.uk", "!timeout"}},
            "pass reject b.example.co.uk - dkim"},
        Row{"6.6.2 SPF temperror, would align", "a@example.co.uk", "temperror m.example.co.uk", "",
            kReject, "temperror reject example.co.uk - -"}));

TEST(Dmarc7489Sampling, IsThatShareAndAlwaysTheSame) {
  // 6.6.4: about pct of 100 messages, and the same answer for the same message
  int rejected = 0;
  for (int i = 0; i < 1000; ++i) {
    const Row row{
        "",
        "From: a@example.co.uk\r\nMessage-ID: <" + std::to_string(i) + "@example.co.uk>\r\n",
        "",
        "",
        record("v=DMARC1; p=reject; pct=30"),
        ""};
    const std::string once = summary(replay(row, DmarcProfile::kRfc7489).verdict);
    EXPECT_EQ(once, summary(replay(row, DmarcProfile::kRfc7489).verdict));
    rejected += once == "fail reject example.co.uk - -" ? 1 : 0;
  }
  EXPECT_GT(rejected, 250);
  EXPECT_LT(rejected, 350);
}

TEST(Dmarc7489Questions, TwoNamesInOneRound) {
  const Row row{"", "a@a.b.example.co.uk", "x.example.co.uk", "y.example.co.uk", kReject, ""};
  const auto result = replay(row, DmarcProfile::kRfc7489);
  EXPECT_EQ(result.rounds, 1);
  EXPECT_EQ(result.asked.size(), 2U);
  EXPECT_EQ(result.verdict.organizational_domain, "example.co.uk");
}

TEST(PublicSuffix, RegistrableDomains) {
  // publicsuffix.org's rules: plain, wildcard, exception, none; A-labels
  EXPECT_EQ(policy::registrable_domain("a.b.example.com"), "example.com");
  EXPECT_EQ(policy::registrable_domain("a.example.co.uk"), "example.co.uk");
  EXPECT_EQ(policy::registrable_domain("co.uk"), "co.uk");
  EXPECT_EQ(policy::registrable_domain("a.b.c.ck"), "b.c.ck");
  EXPECT_EQ(policy::registrable_domain("a.www.ck"), "www.ck");
  EXPECT_EQ(policy::registrable_domain("a.b.madeup"), "b.madeup");
  EXPECT_EQ(policy::registrable_domain("madeup"), "madeup");
  EXPECT_EQ(policy::registrable_domain("a.b.xn--p1ai"), "b.xn--p1ai");
}

}  // namespace
