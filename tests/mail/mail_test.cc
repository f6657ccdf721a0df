#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/mail/address.h"
#include "core/mail/date.h"
#include "core/mail/headers.h"

namespace mail {
namespace {

using testing::HasSubstr;

TEST(Mailbox, TakesWhatRfc5321AndRfc6531Allow) {
  for (const char* good :
       {"a@b", "first.last@example.com", "\"quoted @ local\"@example.com", "\"a\\\"b\"@example.com",
        "user+tag@sub.example.com", "a@[192.0.2.1]", "a@[IPv6:2001:db8::1]",
        "!#$%&'*+-/=?^_`{|}~@x.y", "gr\xc3\xbc\xc3\x9f@example.com",
        "a@b\xc3\xbc"
        "cher.example",
        "x@under_score.example"}) {
    const auto address = parse_mailbox(good);
    ASSERT_TRUE(address.ok()) << good << ": " << address.message();
    EXPECT_EQ(address->str(), good);
  }
}

TEST(Mailbox, RefusesTheRest) {
  const std::string long_local = std::string(65, 'a') + "@example.com";
  const std::string long_label = "a@" + std::string(64, 'b') + ".example";
  for (const std::string& bad : {std::string("a"),
                                 std::string("@b"),
                                 std::string("a@"),
                                 std::string("a..b@c"),
                                 std::string(".a@b"),
                                 std::string("a.@b"),
                                 std::string("a@b..c"),
                                 std::string("a@.b"),
                                 std::string("a b@c"),
                                 std::string("a@b c"),
                                 std::string("\"a@b"),
                                 std::string("a@[1.2.3]"),
                                 std::string("a@[1.2.3.4"),
                                 std::string("a@b@c"),
                                 std::string("a@b>"),
                                 std::string("\"a\nb\"@c"),
                                 std::string("a\0b@c", 5),
                                 std::string("\xff@b"),
                                 long_local,
                                 long_label}) {
    EXPECT_FALSE(parse_mailbox(bad).ok()) << bad;
  }
  EXPECT_THAT(parse_mailbox("gr\xc3\xbc@example.com", false).message(), HasSubstr("SMTPUTF8"));
}

TEST(Path, NullSenderSourceRouteAndParameters) {
  const auto null = parse_path("<> SIZE=1", false);
  ASSERT_TRUE(null.ok());
  EXPECT_TRUE(null->is_null());
  EXPECT_EQ(null->rest, " SIZE=1");
  const auto routed = parse_path("<@one.example,@two.example:user@three.example>", false);
  ASSERT_TRUE(routed.ok());
  EXPECT_EQ(routed->address.str(), "user@three.example");
  const auto tricky = parse_path("<\"a>b\"@example.com> BODY=7BIT", false);
  ASSERT_TRUE(tricky.ok());
  EXPECT_EQ(tricky->address.local, "\"a>b\"");
  EXPECT_TRUE(parse_path("<PostMaster>", false, true).ok());
  for (const char* bad : {"a@b", "<a@b", "<a@b c>", "<postmaster>", "<@one:", "", "<<a@b>>"}) {
    EXPECT_FALSE(parse_path(bad, false).ok()) << bad;
  }
}

std::vector<std::string> addresses(std::string_view body) {
  std::vector<std::string> out;
  const auto list = parse_address_list(body);
  if (!list) return {"error: " + list.message()};
  for (const Address& address : *list) out.push_back(address.str());
  return out;
}

TEST(AddressList, FormsOfRfc5322) {
  using V = std::vector<std::string>;
  EXPECT_EQ(addresses("a@b.example"), V{"a@b.example"});
  EXPECT_EQ(addresses("Joe Q. Public <john.q.public@example.com>"), V{"john.q.public@example.com"});
  EXPECT_EQ(addresses("\"Doe, Jane\" <jane@example.com>, Who? <one@y.test>"),
            (V{"jane@example.com", "one@y.test"}));
  EXPECT_EQ(addresses("A Group:Ed Jones <joe@where.test>,joe@w2.test;"),
            (V{"joe@where.test", "joe@w2.test"}));
  EXPECT_EQ(addresses("Undisclosed recipients:;"), V{});
  EXPECT_EQ(addresses("Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>"),
            V{"pete@silly.test"});
  EXPECT_EQ(addresses("<@route.example:a@b.example>"), V{"a@b.example"});
  EXPECT_EQ(addresses("jdoe @ machine . example"), V{"jdoe@machine.example"});
  EXPECT_EQ(addresses("a@b.example, , c@d.example"), (V{"a@b.example", "c@d.example"}));
  EXPECT_EQ(addresses("Gr\xc3\xbc\xc3\x9f <gr\xc3\xbc\xc3\x9f@example.com>"),
            V{"gr\xc3\xbc\xc3\x9f@example.com"});
  EXPECT_EQ(addresses("\"a b\"@example.com"), V{"\"a b\"@example.com"});
}

TEST(AddressList, WhatProvidersAndProgramsReallyWrite) {
  using V = std::vector<std::string>;
  // local parts longer than an envelope takes, dots where no atom is between them
  const std::string long_one = std::string(80, 'a') + "@b.example";
  EXPECT_EQ(addresses(long_one), V{long_one});
  EXPECT_EQ(addresses("N <" + long_one + ">"), V{long_one});
  EXPECT_EQ(addresses("a..b.@b.example"), V{"a..b.@b.example"});
  EXPECT_EQ(addresses("N <.a@b.example>"), V{".a@b.example"});
  // the address as its own display name
  EXPECT_EQ(addresses("a@b.example <A@b.Example>, c@d.example"), (V{"A@b.Example", "c@d.example"}));
}

TEST(AddressList, RefusesWhatCouldHideAnAddress) {
  for (const char* bad :
       {"John Doe", "a@b.example c@d.example", "<a@b.example", "\"open", "(open", "a@", "@b",
        "Group: a@b.example", "G: H: a@b;;", "a b@c.example", "<a@b.example> <c@d.example>",
        "a@b.example>", "a@b.example <c@b.example>", "a@b.example <a@d.example>",
        "a@b.example <a@b.example> <a@b.example>", ".@b.example", "a@b..example"}) {
    EXPECT_FALSE(parse_address_list(bad).ok()) << bad;
  }
  EXPECT_FALSE(parse_address_list(std::string(100, '(') + std::string(100, ')') + "a@b").ok());
}

TEST(Normalize, Domains) {
  EXPECT_EQ(*normalize_domain("EXAMPLE.com."), "example.com");
  EXPECT_EQ(*normalize_domain("B\xc3\xbc"
                              "cher.Example"),
            "xn--bcher-kva.example");
  EXPECT_EQ(*normalize_domain("XN--BCHER-KVA.example"), "xn--bcher-kva.example");
  for (const char* bad : {"", ".", "a..b", "-\xff", "a b", "a/b"}) {
    EXPECT_FALSE(normalize_domain(bad).ok()) << bad;
  }
}

TEST(Normalize, Addresses) {
  EXPECT_EQ(*normalize_address({"Support", "ACME.example"}), "support@acme.example");
  EXPECT_EQ(*normalize_address({"\"support\"", "acme.example"}), "support@acme.example");
  EXPECT_EQ(*normalize_address({"\"a b\"", "acme.example"}), "\"a b\"@acme.example");
  EXPECT_EQ(*normalize_address({"\"sup\\port\"", "acme.example"}), "support@acme.example");
}

TEST(Normalize, Mailboxes) {
  EXPECT_EQ(normalized_mailbox("Support@ACME.example"), "support@acme.example");
  EXPECT_EQ(normalized_mailbox("\"Support\"@[192.0.2.1]"), "support@[192.0.2.1]");
  for (const char* bad :
       {"", "acme.example", "a@", "@b.example", "a@b..example", "<a@b.example>"}) {
    EXPECT_EQ(normalized_mailbox(bad), std::nullopt) << bad;
  }
}

TEST(Headers, FieldsFoldingDuplicatesAndBytes) {
  const std::string block =
      "Received: one\r\n\ttwo\r\nSubject:  gr\xfc\xdf \r\nRECEIVED : three\r\nX-Empty:\r\n";
  const auto headers = Headers::scan(block, 10);
  ASSERT_TRUE(headers.ok()) << headers.message();
  ASSERT_EQ(headers->fields().size(), 4U);
  EXPECT_EQ(headers->fields()[0].raw, "Received: one\r\n\ttwo\r\n");
  EXPECT_EQ(headers->fields()[0].body, " one\r\n\ttwo");
  EXPECT_EQ(headers->value("received"), "one\ttwo");
  EXPECT_EQ(headers->count("Received"), 2U);
  EXPECT_EQ(headers->value("Subject"), "gr\xfc\xdf");
  EXPECT_EQ(headers->value("X-Empty"), "");
  EXPECT_FALSE(headers->value("X-Absent"));
  std::string together;
  for (const HeaderField& field : headers->fields()) together += field.raw;
  EXPECT_EQ(together, block);
}

TEST(Headers, ErrorsNameTheLine) {
  EXPECT_THAT(Headers::scan("A: b\r\nno field\r\n", 10).message(), HasSubstr("line 2"));
  EXPECT_THAT(Headers::scan(" a: b\r\n", 10).message(), HasSubstr("continues no field"));
  EXPECT_THAT(Headers::scan("A: b\nB: c\r\n", 10).message(), HasSubstr("CR LF"));
  EXPECT_THAT(Headers::scan("A: b\rc\r\n", 10).message(), HasSubstr("not followed by LF"));
  EXPECT_THAT(Headers::scan("A: 1\r\nB: 2\r\nC: 3\r\n", 2).message(), HasSubstr("2 fields"));
  EXPECT_FALSE(Headers::scan("A: b", 10).ok());
  EXPECT_FALSE(Headers::scan(": b\r\n", 10).ok());
  EXPECT_FALSE(Headers::scan("A b: c\r\n", 10).ok());
}

TEST(Headers, SectionEnd) {
  EXPECT_EQ(header_section_end("A: b\r\n\r\nbody"), 6U);
  EXPECT_EQ(header_section_end("\r\nbody"), 0U);
  EXPECT_EQ(header_section_end("A: b\r\n"), std::string_view::npos);
}

TEST(Date, Rfc5322) {
  EXPECT_EQ(format_date(1'769'860'800'000), "Sat, 31 Jan 2026 12:00:00 +0000");
  EXPECT_EQ(format_date(0), "Thu, 01 Jan 1970 00:00:00 +0000");
}

}  // namespace
}  // namespace mail
