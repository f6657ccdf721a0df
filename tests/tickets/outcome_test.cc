#include "relayd/tickets/outcome.h"

#include <gtest/gtest.h>

#include "core/base/limits.h"

namespace tickets {
namespace {

Outcome of(int status, const std::string& retry_after = "") {
  return classify(Answer{status, retry_after, "", "", true});
}

TEST(Outcome, IsWhatRuleT4Says) {
  for (const int status : {200, 201, 202, 204, 299}) EXPECT_EQ(of(status), Outcome::kDelivered);
  for (const int status : {401, 403, 404, 410}) EXPECT_EQ(of(status), Outcome::kRefused);
  for (const int status : {413, 415, 422}) EXPECT_EQ(of(status), Outcome::kHeld);
  for (const int status : {301, 302, 307, 400, 405, 409, 418, 500, 502, 504}) {
    EXPECT_EQ(of(status), Outcome::kRetry) << status;
  }
  for (const char* retry_after : {"3", "", "soon"}) {
    EXPECT_EQ(of(429, retry_after), Outcome::kLater);
    EXPECT_EQ(of(503, retry_after), Outcome::kLater);
  }
  EXPECT_EQ(of(500, "3"), Outcome::kRetry);
  EXPECT_EQ(classify(Answer{0, "", "", "refused", false}), Outcome::kDown);
  EXPECT_EQ(classify(Answer{0, "", "", "timed out", true}), Outcome::kRetry);
}

TEST(Outcome, LastReplyIsShortAndPrintable) {
  EXPECT_EQ(last_reply(Answer{422, "", "\r\nno\nway " + std::string(500, 'x'), "", true}).size(),
            10u + 200u);
  EXPECT_EQ(last_reply(Answer{422, "", " no\nway", "", true}), "HTTP 422: no?way");
  EXPECT_EQ(last_reply(Answer{204, "", "", "", true}), "HTTP 204");
  EXPECT_EQ(last_reply(Answer{0, "", "", "connection refused", false}), "connection refused");
}

TEST(RetryAfter, SecondsAndDates) {
  constexpr std::int64_t kNow = 784111777'000;  // Sun, 06 Nov 1994 08:49:37 GMT
  EXPECT_EQ(retry_after_ms(" 120 ", kNow), 120'000);
  EXPECT_EQ(retry_after_ms("0", kNow), 0);
  EXPECT_EQ(retry_after_ms("Sun, 06 Nov 1994 08:50:37 GMT", kNow), 60'000);
  EXPECT_EQ(retry_after_ms("Sunday, 06-Nov-94 08:50:37 GMT", kNow), 60'000);
  EXPECT_EQ(retry_after_ms("Sun, 06 Nov 1994 08:00:00 GMT", kNow), 0);
  EXPECT_EQ(retry_after_ms("Sun, 06 Nov 2044 08:00:00 GMT", kNow), base::kDay);
  EXPECT_EQ(retry_after_ms("99999999", kNow), base::kDay);
  EXPECT_EQ(retry_after_ms("99999999999999999999999", kNow), base::kDay);
  EXPECT_EQ(retry_after_ms("soon", kNow), std::nullopt);
  EXPECT_EQ(retry_after_ms("", kNow), std::nullopt);
  EXPECT_EQ(retry_after_ms("-5", kNow), std::nullopt);
}

}  // namespace
}  // namespace tickets
