// Reading Authentication-Results of others (RFC 8601 2.2, appendix B).
#include "policy/results_field.h"

#include <gtest/gtest.h>

namespace {

using policy::parse_results_field;

TEST(ResultsField, UsualServers) {
  const auto field = parse_results_field(
      " mx.acme.example;\r\n"
      "\tdkim=pass (2048-bit key; unprotected) header.d=bank.example header.i=@bank.example\r\n"
      "\t header.b=\"a/b=\";\r\n"
      "\tspf=pass (mx.acme.example: domain of u@bank.example (x) designates 192.0.2.1)\r\n"
      "\t smtp.mailfrom=u@bank.example smtp.helo=out.bank.example;\r\n"
      "\tdmarc=PASS (p=reject) header.from=Bank.example;");
  ASSERT_TRUE(field);
  EXPECT_EQ(field->authserv_id, "mx.acme.example");
  ASSERT_EQ(field->methods.size(), 3U);
  EXPECT_EQ(field->methods[0].method, "dkim");
  EXPECT_EQ(field->methods[0].property("header.b"), "a/b=");
  EXPECT_EQ(field->methods[1].property("smtp.mailfrom"), "u@bank.example");
  EXPECT_EQ(field->methods[1].property("smtp.nothing"), "");
  EXPECT_EQ(field->methods[2].result, "pass");
  EXPECT_EQ(field->methods[2].property("header.from"), "Bank.example");
}

struct Row {
  const char* what;
  const char* body;
  const char* methods;  // "id|method=result,..." or "" where it is malformed
};

class ResultsFieldTable : public testing::TestWithParam<Row> {};

TEST_P(ResultsFieldTable, IsRead) {
  const auto field = parse_results_field(GetParam().body);
  std::string read;
  if (field) {
    read = field->authserv_id + "|";
    for (const auto& one : field->methods) {
      if (!read.ends_with('|')) read += ',';
      read += one.method + "=" + one.result;
    }
  }
  EXPECT_EQ(read, GetParam().methods) << GetParam().what;
}

INSTANTIATE_TEST_SUITE_P(
    Rfc8601, ResultsFieldTable,
    testing::ValuesIn(std::vector<Row>{
        {"B.1 no result", " example.org 1; none", "example.org|"},
        {"2.2 only a name", "example.org", "example.org|"},
        {"B.3 one result", "example.com; spf=pass smtp.mailfrom=example.net",
         "example.com|spf=pass"},
        {"2.2 reason", "a.test; dkim=fail reason=\"bad; signature\" header.d=x.test",
         "a.test|dkim=fail"},
        {"2.2 method version", "a.test; spf/1=fail", "a.test|spf=fail"},
        {"2.2 unknown method version", "a.test; spf/2=pass", ""},
        {"2.2 authserv-id version", "a.test 1; spf=fail", "a.test|spf=fail"},
        {"2.2 unknown version of the field", "a.test 2; spf=pass", ""},
        {"2.2 blanks and comments everywhere",
         " (c) a.test (d) 1 (e) ; (f) spf (g) / 1 = (h) pass (i) smtp (j) . mailfrom (k) = x.test",
         "a.test|spf=pass"},
        {"2.2 quoted authserv-id", "\"A.Test.\"; spf=pass", "a.test|spf=pass"},
        {"case of names and results", "A.TEST; SPF=Pass", "a.test|spf=pass"},
        {"a quoted value hides a result", "a.test; spf=none reason=\"; dmarc=pass\"",
         "a.test|spf=none"},
        {"a comment hides a result", "a.test; spf=none (; dmarc=pass)", "a.test|spf=none"},
        {"nested comments", "a.test; spf=none (a (b; dkim=pass) ; dmarc=pass)", "a.test|spf=none"},
        {"an escaped parenthesis", "a.test; spf=none (\\) ; dmarc=pass)", "a.test|spf=none"},
        {"an open comment", "a.test; spf=pass (", ""},
        {"an open quote", "a.test; spf=pass reason=\"x", ""},
        {"no result behind the method", "a.test; spf", ""},
        {"no value behind a property", "a.test; spf=pass smtp.mailfrom=", ""},
        {"words where a property should be", "a.test; spf=pass hello world", ""},
        {"no name at all", "; spf=pass", ""},
        {"empty", "", ""},
        {"a stray parenthesis", "a.test; spf=pass )", ""},
        {"base64 that nobody quoted", "a.test; dkim=pass header.b=ab== header.d=x.test",
         "a.test|dkim=pass"},
        {"a quoted local part", "a.test; spf=pass smtp.mailfrom=\"a b\"@x.test", "a.test|spf=pass"},
        {"a quoted value goes on as another name",
         "a.test; spf=pass smtp.mailfrom=\"u@bank.test\"@evil.test. smtp.helo=x",
         "a.test|spf=pass"},
        {"and with a comment between",
         "a.test; spf=pass smtp.mailfrom=\"u@bank.test\"(c)@evil.test. smtp.helo=x", ""},
        {"a word behind a quote", "a.test; spf=pass smtp.mailfrom=\"u\"x", ""},
        {"a quote behind a word", "a.test; spf=pass smtp.mailfrom=u\"x\"", ""},
        {"a property twice", "a.test; spf=pass smtp.mailfrom=a.test smtp.mailfrom=b.test", ""},
        {"a reason twice", "a.test; spf=pass reason=a reason=b", ""},
        {"an address as a name", "a.test; spf=pass x@y.test=z", ""},
        {"an address in angle brackets", "a.test; spf=pass smtp.mailfrom=<u@x.test>",
         "a.test|spf=pass"},
    }));

TEST(ResultsField, AQuotedLocalPartKeepsItsDomain) {
  const auto field =
      parse_results_field("a.test; spf=pass smtp.mailfrom=\"u@bank.test\"@evil.test");
  ASSERT_TRUE(field);
  EXPECT_EQ(field->methods.at(0).property("smtp.mailfrom"), "u@bank.test@evil.test");
}

TEST(ResultsField, IsBounded) {
  std::string many = "a.test";
  for (int i = 0; i < 200; ++i) many += "; spf=pass";
  EXPECT_FALSE(parse_results_field(many));
  std::string wide = "a.test; spf=pass";
  for (int i = 0; i < 100; ++i) wide += " x.y=z";
  EXPECT_FALSE(parse_results_field(wide));
  EXPECT_FALSE(parse_results_field("a.test; spf=pass (" + std::string(20'000, 'x') + ")"));
}

}  // namespace
