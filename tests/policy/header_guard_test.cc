#include "policy/header_guard.h"

#include <gtest/gtest.h>

#include <string>

#include "core/mail/headers.h"

namespace {

const std::string kHeader =
    "Received: from x\r\n"
    "From: Help <help@acme.example>\r\n"
    "To: a@example.com\r\n"
    "References: <1@x>\r\n <2@x>\r\n"
    "X-Help-From-Account-Id: 7\r\n"
    "X-Mailer: one\r\n"
    "Subject: hello\r\n"
    "x-mailer: two\r\n"
    "X-Other: free\r\n";

const std::vector<std::string>& fields() {
  static const auto names = policy::protected_fields({"X-Help-From-Account-Id", "X-Help-Email-Id"});
  return names;
}

std::string digest(const std::string& body) {
  policy::BodyDigest one;
  one.update(body);
  return one.finish();
}

std::string guard(const std::string& header, const std::string& body = "x\r\n") {
  const auto headers = mail::Headers::scan(header, 5000);
  EXPECT_TRUE(headers.ok());
  return policy::make_guard(*headers, fields(), digest(body));
}

// "" where it passes, else the message.
std::string check(const std::string& against, const std::string& header) {
  const auto headers = mail::Headers::scan(header, 5000);
  EXPECT_TRUE(headers.ok());
  const auto status = policy::check_headers(against, *headers);
  return status.ok() ? "" : status.message();
}

std::string replaced(const std::string& what, const std::string& by) {
  std::string header = kHeader;
  const auto at = header.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  return header.replace(at, what.size(), by);
}

TEST(HeaderGuard, UnchangedPasses) { EXPECT_EQ(check(guard(kHeader), kHeader), ""); }

TEST(HeaderGuard, EveryChangeOfAProtectedFieldIsNamed) {
  struct Row {
    const char* what;
    const char* by;
    const char* named;
  };
  const Row rows[] = {{"help@acme", "help@evil", " from "},
                      {"From: Help", "From:  Help", " from "},
                      {"From: Help", "FROM: Help", " from "},
                      {"<1@x>\r\n <2@x>", "<1@x> <2@x>", " references "},
                      {"Account-Id: 7", "Account-Id: 8", " x-help-from-account-id "},
                      {"X-Help-From-Account-Id: 7\r\n", "", " x-help-from-account-id "},
                      {"Subject: hello", "Subject: hell", " subject "},
                      {"Subject: hello\r\n", "Subject: hello\r\nReply-To: y@x\r\n", " reply-to "},
                      {"To: a@example.com\r\n", "To: a@example.com\r\nTo: b@x\r\n", " to "},
                      {"x-mailer: two\r\n", "", " x-mailer "},
                      {"X-Other", "X-Help-Email-Id", " x-help-email-id "}};
  for (const Row& row : rows) {
    const std::string message = check(guard(kHeader), replaced(row.what, row.by));
    EXPECT_NE(message.find(row.named), std::string::npos) << row.by << ": " << message;
  }
}

TEST(HeaderGuard, OrderCountsPerName) {
  std::string swapped = replaced("X-Mailer: one", "X-Mailer: 1");
  EXPECT_NE(check(guard(kHeader), swapped), "");
  const std::string two = "X-Mailer: one\r\nX-Mailer: two\r\nSubject: s\r\n";
  EXPECT_NE(check(guard(two), "X-Mailer: two\r\nX-Mailer: one\r\nSubject: s\r\n"), "");
  EXPECT_EQ(check(guard(two), "Subject: s\r\nX-Mailer: one\r\nX-Mailer: two\r\n"), "");
}

TEST(HeaderGuard, BoundariesBetweenOccurrencesCount) {
  EXPECT_NE(check(guard("Cc: a\r\n b\r\n"), "Cc: a\r\nCc: b\r\n"), "");
}

TEST(HeaderGuard, OtherFieldsAreFree) {
  EXPECT_EQ(check(guard(kHeader), replaced("X-Other: free", "X-Other: changed")), "");
  EXPECT_EQ(check(guard(kHeader), replaced("Received: from x\r\n", "")), "");
}

TEST(HeaderGuard, Body) {
  const std::string record = guard(kHeader, "body\r\n");
  EXPECT_TRUE(policy::check_body(record, digest("body\r\n")).ok());
  EXPECT_FALSE(policy::check_body(record, digest("Body\r\n")).ok());
  EXPECT_FALSE(policy::check_body(record, digest("body")).ok());
  EXPECT_FALSE(policy::check_body(record, "").ok());
  policy::BodyDigest split;
  for (const char c : std::string("body\r\n")) split.update(std::string_view(&c, 1));
  EXPECT_TRUE(policy::check_body(record, split.finish()).ok());
}

TEST(HeaderGuard, DamagedRecordsNeverPass) {
  const auto headers = mail::Headers::scan(kHeader, 100);
  for (const std::string& record :
       {std::string(), std::string("guard2"), std::string("guard3\nbody x"), std::string("x\n\n"),
        guard(kHeader).substr(0, 40), guard(kHeader).substr(7)}) {
    EXPECT_FALSE(policy::check_headers(record, *headers).ok()) << record;
    EXPECT_FALSE(policy::check_body(record, digest("x\r\n")).ok()) << record;
  }
}

TEST(HeaderGuard, RecordStaysSmall) {
  std::string header = kHeader;
  for (int i = 0; i < 1500; ++i) header += "References: <" + std::to_string(i) + "@x>\r\n";
  EXPECT_LT(guard(header).size(), 2048U);
  EXPECT_EQ(check(guard(header), header), "");
}

}  // namespace
