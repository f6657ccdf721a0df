// The written forms of a judgement: JSON and Authentication-Results (RFC 8601).
#include "policy/judgement.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "core/base/bytes.h"
#include "core/mail/headers.h"

namespace {

policy::Judgement usual() {
  policy::Judgement judgement;
  judgement.spf = spf::Verdict{spf::Result::kPass, "example.com", "", "fine"};
  judgement.mail_from = "bounce@example.com";
  judgement.helo_name = "mail.example.com";
  judgement.helo = spf::Verdict{spf::Result::kNone, "mail.example.com", "", "no record"};
  dkim::SignatureVerdict own;
  own.domain = "example.com";
  own.selector = "s1";
  own.identity = "@example.com";
  own.algorithm = "rsa-sha256";
  own.signature_start = "abcdefgh";
  own.result = dkim::Result::kPass;
  dkim::SignatureVerdict list;
  list.domain = "list.test";
  list.selector = "k";
  list.identity = "@list.test";
  list.algorithm = "ed25519-sha256";
  list.signature_start = "AB+/cd==";
  list.result = dkim::Result::kFail;
  list.reason = "the body was changed";
  judgement.dkim = {own, list};
  judgement.dmarc.result = policy::DmarcResult::kPass;
  judgement.dmarc.from_domain = judgement.dmarc.policy_domain = "example.com";
  judgement.dmarc.organizational_domain = "example.com";
  judgement.dmarc.policy = "reject";
  judgement.dmarc.spf_aligned = judgement.dmarc.dkim_aligned = true;
  judgement.dmarc.reason = "an aligned DKIM signature";
  judgement.arc.result = dkim::ArcResult::kPass;
  judgement.arc.sets = {{1, "list.test", "a", "none", "list.test", "list.test; spf=pass"},
                        {2, "hop.example", "b", "pass", "hop.example", "hop.example; none"}};
  judgement.disposition = policy::Disposition::kSuspended;
  judgement.reasons = {"one", "two"};
  return judgement;
}

TEST(Judgement, Json) {
  const auto json = nlohmann::json::parse(policy::authentication_json(usual()));
  const auto expected = nlohmann::json::parse(R"({
    "spf": {"result": "pass", "domain": "example.com", "reason": "fine",
            "helo": {"result": "none", "domain": "mail.example.com", "reason": "no record"}},
    "dkim": [{"domain": "example.com", "selector": "s1", "algorithm": "rsa-sha256",
              "result": "pass", "reason": ""},
             {"domain": "list.test", "selector": "k", "algorithm": "ed25519-sha256",
              "result": "fail", "reason": "the body was changed"}],
    "dmarc": {"result": "pass", "from_domain": "example.com", "policy": "reject",
              "policy_domain": "example.com", "spf_aligned": true, "dkim_aligned": true,
              "reason": "an aligned DKIM signature"},
    "arc": {"result": "pass", "instances": 2, "sealers": ["list.test", "hop.example"]},
    "disposition": "suspended", "reasons": ["one", "two"]})");
  EXPECT_EQ(json, expected) << json.dump(1);
}

TEST(Judgement, JsonOfNothing) {
  const auto json = nlohmann::json::parse(policy::authentication_json({}));
  EXPECT_EQ(json["spf"]["result"], "none");
  EXPECT_TRUE(json["dkim"].is_array());
  EXPECT_TRUE(json["dkim"].empty());
  EXPECT_EQ(json["dmarc"]["result"], "none");
  EXPECT_EQ(json["dmarc"]["policy"], "none");
}

TEST(Judgement, JsonSurvivesHostileText) {
  auto judgement = usual();
  judgement.dkim[0].selector = std::string("\"}\\\x01\x00\xff\xc3", 7);
  EXPECT_NO_THROW(auto parsed = nlohmann::json::parse(policy::authentication_json(judgement)));
}

TEST(AuthenticationResults, Usual) {
  EXPECT_EQ(policy::authentication_results(usual(), "relay.example.net"),
            "Authentication-Results: relay.example.net;\r\n"
            "\tspf=pass smtp.mailfrom=bounce@example.com;\r\n"
            "\tspf=none smtp.helo=mail.example.com;\r\n"
            "\tdkim=pass header.d=example.com header.s=s1 header.a=rsa-sha256\r\n"
            "\t header.b=abcdefgh;\r\n"
            "\tdkim=fail reason=\"the body was changed\" header.d=list.test header.s=k\r\n"
            "\t header.a=ed25519-sha256 header.b=\"AB+/cd==\";\r\n"
            "\tdmarc=pass header.from=example.com policy.dmarc=reject;\r\n"
            "\tarc=pass\r\n"
            "\t (i=1 list.test,\r\n"
            "\t i=2 hop.example)\r\n");
}

TEST(AuthenticationResults, None) {
  // RFC 8601 2.2 no-result
  EXPECT_EQ(policy::authentication_results({}, "relay.example.net"),
            "Authentication-Results: relay.example.net; none\r\n");
}

TEST(AuthenticationResults, AuthenticatedUser) {
  policy::Judgement judgement;
  judgement.authenticated_user = "acme.example-ab12";
  EXPECT_EQ(policy::authentication_results(judgement, "r.test"),
            "Authentication-Results: r.test;\r\n\tauth=pass smtp.auth=acme.example-ab12\r\n");
}

TEST(AuthenticationResults, NullSenderAndNoSignature) {
  auto judgement = usual();
  judgement.mail_from.clear();
  judgement.dkim.clear();
  const auto field = policy::authentication_results(judgement, "r.test");
  EXPECT_NE(field.find("\tspf=pass smtp.helo=mail.example.com;\r\n\tdkim=none;\r\n"),
            std::string::npos)
      << field;
}

TEST(AuthenticationResults, NothingFromOutsideEscapes) {
  const std::vector<std::string> hostile = {"x\r\nX-Evil: yes",
                                            "a;dkim=pass header.d=bank.example",
                                            "\" ; spf=pass",
                                            "\\",
                                            "a\\\"b",
                                            "(comment",
                                            std::string("n\0l", 3),
                                            "\xff\xfe",
                                            "b\xc3\xbc@example.com",
                                            std::string(5000, 'x'),
                                            "a b@example.com",
                                            "\"q\"@example.com",
                                            "=?utf-8?q?spf=3Dpass?=",
                                            "\x7f",
                                            "a@b@c"};
  for (const std::string& text : hostile) {
    auto judgement = usual();
    judgement.mail_from = judgement.helo_name = judgement.authenticated_user = text;
    judgement.arc.sets[0].sealer = text;
    judgement.dkim[0].domain = judgement.dkim[0].selector = judgement.dkim[0].algorithm = text;
    judgement.dkim[0].signature_start = judgement.dkim[0].reason = text;
    judgement.dmarc.from_domain = judgement.dmarc.policy = text;
    const std::string field = policy::authentication_results(judgement, "relay.example.net");
    const auto scanned = mail::Headers::scan(field, 10);
    ASSERT_TRUE(scanned.ok()) << field;
    ASSERT_EQ(scanned->fields().size(), 1U) << field;
    // Outside quotes there are exactly the seven results that are ours.
    std::string bare;
    bool quoted = false;
    for (std::size_t i = 0; i < field.size(); ++i) {
      if (quoted && field[i] == '\\') {
        ++i;
      } else if (field[i] == '"') {
        quoted = !quoted;
      } else if (!quoted) {
        bare += field[i];
      }
    }
    EXPECT_FALSE(quoted) << field;
    EXPECT_EQ(std::count(bare.begin(), bare.end(), ';'), 7) << field;
    EXPECT_TRUE(base::is_utf8(field)) << field;
    for (const auto line : base::split(field, '\n')) EXPECT_LE(line.size(), 998U);
  }
}

bool forged(const std::string& body, const std::string& name = "Authentication-Results") {
  const std::string raw = name + ":" + body + "\r\n";
  const auto headers = mail::Headers::scan(raw, 10);
  EXPECT_TRUE(headers.ok()) << raw;
  return headers.ok() &&
         policy::is_forged_authentication_results(headers->fields().front(), "relay.example.net");
}

TEST(AuthenticationResults, Forged) {
  // RFC 8601 section 5
  EXPECT_TRUE(forged(" relay.example.net; spf=pass"));
  EXPECT_TRUE(forged("relay.example.net;spf=pass"));
  EXPECT_TRUE(forged(" RELAY.example.NET; none", "authentication-RESULTS"));
  EXPECT_TRUE(forged(" relay.example.net 1; spf=pass"));
  EXPECT_TRUE(forged(" relay.example.net"));
  EXPECT_TRUE(forged(" relay.example.net.; spf=pass"));
  EXPECT_TRUE(forged(" relay.example.net/1; spf=pass"));
  EXPECT_TRUE(forged("\r\n\trelay.example.net;\r\n spf=pass"));
  EXPECT_TRUE(forged(" (other.example) relay.example.net; spf=pass"));
  EXPECT_TRUE(forged(" (a (nested) \\) comment)(more)\r\n relay.example.net (x); spf=pass"));
  EXPECT_TRUE(forged(" relay.example.net(x); spf=pass"));
  EXPECT_TRUE(forged(" \"relay.example.net\"; spf=pass"));
  EXPECT_TRUE(forged(" \"relay\\.example.net\" 1; spf=pass"));
  EXPECT_TRUE(forged(" \"Relay.example.net\r\n \"; spf=pass"));
  EXPECT_TRUE(forged(" (open relay.example.net; spf=pass"));
  EXPECT_TRUE(forged(" \"relay.example.net; spf=pass"));
  EXPECT_TRUE(forged(" ; relay.example.net; spf=pass"));
  EXPECT_TRUE(forged(" relay.example.net\xc2\xa0; spf=pass"));
  EXPECT_TRUE(forged(" \xef\xbb\xbfrelay.example.net; spf=pass"));
}

TEST(AuthenticationResults, NotForged) {
  EXPECT_FALSE(forged(" other.example; spf=pass"));
  EXPECT_FALSE(forged(" other.example; spf=pass smtp.helo=relay.example.net"));
  EXPECT_FALSE(forged(" (relay.example.net) other.example; spf=pass"));
  EXPECT_FALSE(forged(" x.relay.example.net; spf=pass"));
  EXPECT_FALSE(forged(" relay.example.network; spf=pass"));
  EXPECT_FALSE(forged(" relay.example.net; spf=pass", "X-Authentication-Results"));
}

}  // namespace
