#include "relayd/egress/outcome.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/mail/headers.h"

namespace egress {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::int64_t kNow = 1'700'000'000'000;
const std::vector<std::int64_t> kRetry = {60'000, 300'000, 900'000};

struct Fixture {
  queue::Message message;
  queue::Delivery delivery;
};

Fixture with_recipients(std::uint32_t count) {
  Fixture f;
  f.message.tenant = "acme";
  f.message.envelope.mail_from = "support@acme.example";
  f.message.arrival_ms = kNow - 1000;
  f.message.expiry_ms = kNow + 1000;
  for (std::uint32_t i = 0; i < count; ++i) {
    f.message.envelope.recipients.push_back(
        {"user" + std::to_string(i) + "@customer.example", "", ""});
    f.delivery.recipients.push_back({i, queue::RecipientState::kPending, ""});
  }
  return f;
}

TEST(Outcome, AllAcceptedFinishes) {
  const Fixture f = with_recipients(2);
  const Judged judged =
      judge_replies(f.message, f.delivery, {{250, "2.0.0", "ok"}, {250, "2.0.0", "ok"}},
                    "mail.acme.example", kRetry, kNow);
  EXPECT_TRUE(judged.update.finished);
  EXPECT_EQ(judged.delivered, 2U);
  EXPECT_TRUE(judged.failed.empty());
}

TEST(Outcome, PartialSuccessKeepsOnlyWhatWaits) {
  Fixture f = with_recipients(3);
  Judged judged =
      judge_replies(f.message, f.delivery,
                    {{250, "2.1.5", "ok"}, {550, "5.1.1", "no such user"}, {451, "4.2.1", "busy"}},
                    "mail.acme.example", kRetry, kNow);
  EXPECT_FALSE(judged.update.finished);
  EXPECT_EQ(judged.delivered, 1U);
  ASSERT_EQ(judged.failed.size(), 1U);
  EXPECT_EQ(judged.failed[0].recipient.address, "user1@customer.example");
  EXPECT_EQ(judged.failed[0].status, "5.1.1");
  EXPECT_EQ(judged.update.last_reply, "451 4.2.1 busy");
  EXPECT_EQ(judged.update.attempts, 1U);
  EXPECT_GE(judged.update.next_attempt_ms, kNow + 54'000);
  EXPECT_LE(judged.update.next_attempt_ms, kNow + 66'000);

  for (const auto& status : judged.update.recipients) f.delivery.recipients[status.index] = status;
  EXPECT_EQ(pending_recipients(f.delivery), std::vector<std::uint32_t>{2});
  judged = judge_replies(f.message, f.delivery, {{250, "2.1.5", "ok"}}, "m", kRetry, kNow);
  EXPECT_TRUE(judged.update.finished);
}

TEST(Outcome, WithoutItsReportAFailureWaitsAndADeliveryStaysDone) {
  const Fixture f = with_recipients(2);
  Judged judged =
      judge_replies(f.message, f.delivery, {{250, "2.1.5", "ok"}, {550, "5.1.1", "no such user"}},
                    "mail.acme.example", kRetry, kNow);
  EXPECT_TRUE(without_report(judged.update, kNow + 5).finished);  // there was none to write
  judged.update.also.emplace_back();
  const queue::DeliveryUpdate kept = without_report(judged.update, kNow + 5);
  EXPECT_FALSE(kept.finished);
  EXPECT_EQ(kept.next_attempt_ms, kNow + 5);
  ASSERT_EQ(kept.recipients.size(), 1U);
  EXPECT_EQ(kept.recipients[0].index, 0U);
  EXPECT_EQ(kept.recipients[0].state, queue::RecipientState::kDelivered);
}

TEST(Outcome, TemporaryTroubleAfterExpiryFails) {
  Fixture f = with_recipients(1);
  f.message.expiry_ms = kNow - 1;
  const Judged judged =
      judge_no_attempt(f.message, f.delivery, "cannot connect", "acme.example", kRetry, kNow);
  EXPECT_TRUE(judged.update.finished);
  ASSERT_EQ(judged.failed.size(), 1U);
  EXPECT_EQ(judged.failed[0].status, "4.4.7");
  EXPECT_THAT(judged.failed[0].diagnostic, HasSubstr("cannot connect"));
}

TEST(Outcome, RetryTimesGrowAndTheLastRepeats) {
  for (std::uint64_t spread = 0; spread < 100'000; spread += 997) {
    EXPECT_NEAR(static_cast<double>(retry_delay_ms(kRetry, 1, spread)), 60'000, 6'000);
    EXPECT_NEAR(static_cast<double>(retry_delay_ms(kRetry, 2, spread)), 300'000, 30'000);
    EXPECT_NEAR(static_cast<double>(retry_delay_ms(kRetry, 99, spread)), 900'000, 90'000);
  }
  EXPECT_NE(retry_delay_ms(kRetry, 1, 1), retry_delay_ms(kRetry, 1, 5000));
}

TEST(Bounce, ReportIsRfc3464) {
  Fixture f = with_recipients(1);
  f.message.envelope.envid = "QQ314159";
  f.message.envelope.recipients[0].orcpt = "rfc822;user0@customer.example";
  const std::string original = "From: support@acme.example\r\nMessage-ID: <1@acme.example>\r\n";
  const std::vector<FailedRecipient> failed = {{f.message.envelope.recipients[0], "5.1.1",
                                                "550 5.1.1 no\r\nsuch user", "mail.acme.example"}};
  const Report made =
      make_report({f.message, failed, "failed", original, "relay.example.net", "ID", kNow});
  const std::string report = made.head + made.tail;
  for (const char* part :
       {"Content-Type: multipart/report; report-type=delivery-status;",
        "Reporting-MTA: dns; relay.example.net\r\n", "Original-Envelope-Id: QQ314159\r\n",
        "Original-Recipient: rfc822; user0@customer.example\r\n",
        "Final-Recipient: rfc822; user0@customer.example\r\n", "Action: failed\r\n",
        "Status: 5.1.1\r\n", "Remote-MTA: dns; mail.acme.example\r\n",
        "Diagnostic-Code: smtp; 550 5.1.1 no??such user\r\n", "Auto-Submitted: auto-replied\r\n",
        "Message-ID: <1@acme.example>\r\n"}) {
    EXPECT_THAT(report, HasSubstr(part));
  }
  const auto headers = mail::Headers::scan(report.substr(0, mail::header_section_end(report)), 100);
  ASSERT_TRUE(headers.ok()) << headers.message();
  EXPECT_EQ(
      report_details(f.message, failed, original),
      R"({"original_message_id":"<1@acme.example>","envelope":{"mail_from":"support@acme.example",)"
      R"("rcpt_to":["user0@customer.example"]},"recipients":[)"
      R"({"address":"user0@customer.example","action":"failed","status":"5.1.1",)"
      R"("diagnostic":"550 5.1.1 no??such user","remote":"mail.acme.example"}]})");
}

TEST(Bounce, NobodyIsToldWhoDoesNotWantIt) {
  Fixture f = with_recipients(1);
  EXPECT_TRUE(wants_report(f.message, f.message.envelope.recipients[0]));
  for (const char* notify : {"NEVER", "SUCCESS", "DELAY", "SUCCESS,DELAY"}) {
    f.message.envelope.recipients[0].notify = notify;
    EXPECT_FALSE(wants_report(f.message, f.message.envelope.recipients[0])) << notify;
  }
  f.message.envelope.recipients[0].notify = "SUCCESS,FAILURE";
  EXPECT_TRUE(wants_report(f.message, f.message.envelope.recipients[0]));
  f.message.envelope.recipients[0].notify = "";
  f.message.envelope.mail_from = "";
  EXPECT_FALSE(wants_report(f.message, f.message.envelope.recipients[0]));
}

}  // namespace
}  // namespace egress
