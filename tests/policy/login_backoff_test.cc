#include "policy/login_backoff.h"

#include <gtest/gtest.h>

#include <string>

namespace policy {
namespace {

TEST(LoginBackoffTest, TableIsBoundedAndForgetsTheIdle) {
  base::ManualClock clock;
  base::Limits limits;
  limits.login_backoff_entries = 100;
  LoginBackoff backoff(clock, limits);
  for (int i = 0; i < 5; ++i) backoff.failed("192.0.2.1", "victim");
  EXPECT_GT(backoff.wait_ms("192.0.2.1", "victim"), 0);
  for (int i = 0; i < 1000; ++i) {
    backoff.failed("10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250),
                   std::string(1000, 'x') + std::to_string(i));
    EXPECT_LE(backoff.entries(), 100U);
    if (i == 20) {
      EXPECT_GT(backoff.wait_ms("192.0.2.1", "victim"), 0);
    }
  }
  EXPECT_EQ(backoff.wait_ms("192.0.2.1", "victim"), 0);
}

TEST(LoginBackoffTest, OldFailuresAreForgiven) {
  base::ManualClock clock;
  base::Limits limits;
  LoginBackoff backoff(clock, limits);
  for (int i = 0; i < 4; ++i) backoff.failed("192.0.2.1", "user");
  clock.advance_ms(2 * limits.login_backoff_longest + 1);
  backoff.failed("192.0.2.1", "user");
  EXPECT_EQ(backoff.wait_ms("192.0.2.1", "user"), 0);
}

TEST(LoginBackoffTest, SuccessClearsTheUser) {
  base::ManualClock clock;
  base::Limits limits;
  LoginBackoff backoff(clock, limits);
  for (int i = 0; i < 4; ++i) backoff.failed("192.0.2.1", "user");
  backoff.succeeded("192.0.2.2", "user");
  backoff.failed("192.0.2.3", "user");
  EXPECT_EQ(backoff.wait_ms("192.0.2.4", "user"), 0);
}

}  // namespace
}  // namespace policy
