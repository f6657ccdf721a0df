#include "core/mail/dsn.h"

#include <gtest/gtest.h>

namespace mail {
namespace {

TEST(Dsn, XtextAndOrcpt) {
  EXPECT_EQ(decode_xtext("QQ314159"), "QQ314159");
  EXPECT_EQ(decode_xtext("a+2Bb+3Dc"), "a+b=c");
  EXPECT_FALSE(decode_xtext("a+2"));
  EXPECT_FALSE(decode_xtext("a+2b"));  // RFC 3461 4: upper case
  EXPECT_EQ(decode_orcpt("RFC822;ann+2Bx@c.example")->address, "ann+x@c.example");
  EXPECT_EQ(decode_orcpt("rfc822;ann@c.example")->type, "rfc822");
  EXPECT_EQ(decode_orcpt("utf-8;\\x{FC}ber@c.example")->address,
            "\xC3\xBC"
            "ber@c.example");
  EXPECT_EQ(decode_orcpt("utf-8;\\x{1F600}@c.example")->address, "\xF0\x9F\x98\x80@c.example");
  EXPECT_EQ(decode_orcpt("utf-8;\\x{D800}@c.example")->address, "\\x{D800}@c.example");
  EXPECT_FALSE(decode_orcpt(""));
  EXPECT_FALSE(decode_orcpt("rfc822;"));
}

const std::string kHead =
    "Content-Type: multipart/report; (a comment) report-type=\"delivery-status\";\r\n"
    "\tboundary=\"b=1\"\r\nSubject: Undelivered\r\n";
const std::string kBody =
    "This is for people.\r\n--b=1\r\n\r\nno luck\r\n--b=1\r\n"
    "Content-Type: message/delivery-status\r\n\r\n"
    "Reporting-MTA: dns; mail.example\r\nOriginal-Envelope-Id: relayd.X\r\n\r\n"
    "Original-Recipient: rfc822;ann+AB@c.example\r\nFinal-Recipient: rfc822; ben@c.example\r\n"
    "Action: failed\r\nStatus: 5.1.1 (no such user)\r\nRemote-MTA: dns; mx.c.example\r\n"
    "Diagnostic-Code: smtp; 550 5.1.1\r\n  no such user\r\n\r\n"
    "Final-Recipient: utf-8; \xC3\xBC@c.example\r\nAction: Delayed (still)\r\nStatus: 4.0.0\r\n\r\n"
    "Final-Recipient: rfc822; odd@c.example\r\nAction: eaten\r\nStatus: 5.0.0\r\n"
    "\r\n--b=1\r\nContent-Type: message/rfc822\r\n\r\n"
    "Message-ID: <1@acme.example>\r\nX-Desk-Email-Id: 7\r\n\r\nhello\r\n--b=1--\r\n";

std::optional<DeliveryReport> read(const std::string& head, const std::string& body) {
  const auto headers = Headers::scan(head, 100);
  return read_delivery_report(*headers, body);
}

TEST(Dsn, ReadsAReport) {
  const auto report = read(kHead, kBody);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->envelope_id, "relayd.X");
  EXPECT_EQ(report->reporting_mta, "mail.example");
  ASSERT_EQ(report->recipients.size(), 2U);
  EXPECT_EQ(report->recipients[0].original, "ann+AB@c.example");
  EXPECT_EQ(report->recipients[0].final_address, "ben@c.example");
  EXPECT_EQ(report->recipients[0].action, "failed");
  EXPECT_EQ(report->recipients[0].status, "5.1.1");
  EXPECT_EQ(report->recipients[0].diagnostic, "550 5.1.1  no such user");
  EXPECT_EQ(report->recipients[0].remote, "mx.c.example");
  EXPECT_EQ(report->recipients[1].final_address, "\xC3\xBC@c.example");
  EXPECT_EQ(report->recipients[1].action, "delayed");
  EXPECT_EQ(report->returned_headers, "Message-ID: <1@acme.example>\r\nX-Desk-Email-Id: 7\r\n");
}

TEST(Dsn, WhatIsNoneIsNone) {
  EXPECT_FALSE(
      read("Content-Type: multipart/report; report-type=disposition-notification;"
           " boundary=\"b=1\"\r\n",
           kBody));
  EXPECT_FALSE(read("Content-Type: multipart/mixed; boundary=\"b=1\"\r\n", kBody));
  EXPECT_FALSE(read("Content-Type: multipart/report; report-type=delivery-status\r\n", kBody));
  EXPECT_FALSE(read("Subject: x\r\n", kBody));
  EXPECT_FALSE(read(kHead, ""));
  EXPECT_FALSE(
      read(kHead, "--b=1\r\nContent-Type: message/delivery-status\r\n\r\nA: b\r\n--b=1--"));
}

// Cut anywhere, changed anywhere: never more than a report with less in it.
TEST(Dsn, HostileInputIsHarmless) {
  for (std::size_t size = 0; size <= kBody.size(); ++size) read(kHead, kBody.substr(0, size));
  for (std::size_t at = 0; at < kBody.size(); ++at) {
    for (const char c : {'\0', '\n', ';', '-', '\xff', ':'}) {
      std::string changed = kBody;
      changed[at] = c;
      const auto report = read(kHead, changed);
      EXPECT_LE(report ? report->recipients.size() : 0U, 3U);
    }
  }
  for (std::size_t size = 14; size < kHead.size() - 24; ++size) {
    const std::string head = kHead.substr(0, size) + "\r\n";
    const auto headers = Headers::scan(head, 100);
    if (headers) read_delivery_report(*headers, kBody);
  }
}

}  // namespace
}  // namespace mail
