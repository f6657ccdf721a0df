#include "relayd/egress/manners.h"

#include <gtest/gtest.h>

#include "relayd/egress/connector.h"
#include "relayd/egress/rates.h"

namespace egress {
namespace {

struct ReplyCase {
  const char* shows;
  smtp::Reply reply;
  bool expected;
};

TEST(Manners, WhichRepliesToAuthAreTheAccountsFault) {  // RFC 4954 section 6
  const ReplyCase cases[] = {
      {"credentials invalid", {535, "5.7.8", "Authentication credentials invalid"}, true},
      {"the same without an enhanced code", {535, "", "go away"}, true},
      {"basic authentication is off for the tenant", {535, "5.7.139", "unsuccessful"}, true},
      {"mechanism too weak for this user", {534, "5.7.9", "Application password needed"}, true},
      {"authentication required", {530, "5.7.0", "Authentication required"}, true},
      {"encryption required", {538, "5.7.11", "Encryption required"}, true},
      {"a policy, as some servers say it", {554, "5.7.1", "Relaying denied"}, true},
      {"temporary failure of the server", {454, "4.7.0", "Try later"}, false},
      {"a password change under way", {432, "4.7.12", "Transition needed"}, false},
      {"service closing", {421, "4.3.2", "Shutting down"}, false},
      {"line too long", {500, "5.5.6", "Exchange line is too long"}, false},
      {"not decodable", {501, "5.5.2", "Cannot decode"}, false},
      {"out of order", {503, "5.5.1", "Bad sequence"}, false},
      {"mechanism not known", {504, "5.5.4", "Unrecognized type"}, false},
      {"accepted", {235, "2.7.0", "ok"}, false},
  };
  for (const ReplyCase& c : cases) EXPECT_EQ(blames_account(c.reply), c.expected) << c.shows;
}

TEST(Manners, WhichRepliesMeanTooManyConnections) {
  const ReplyCase cases[] = {
      {"421 with the words", {421, "4.7.0", "Too many concurrent connections"}, true},
      {"without an enhanced code", {421, "", "Too many connections from your IP"}, true},
      {"Exchange Online", {432, "4.3.2", "STOREDRV.ClientSubmit; sender thread limit"}, true},
      {"451 4.7.x", {451, "4.7.500", "maximum number of connections reached"}, true},
      {"another 421", {421, "4.3.2", "Service shutting down"}, false},
      {"greylisting", {450, "4.7.1", "Greylisted"}, false},
      {"no temporary reply", {550, "5.7.1", "too many connections"}, false},
      {"another 432", {432, "4.7.12", "a password transition is needed"}, false},
  };
  for (const ReplyCase& c : cases) {
    EXPECT_EQ(says_too_many_connections(c.reply), c.expected) << c.shows;
  }
}

TEST(Manners, TooManyRecipientsSaidAs552) {  // RFC 5321 4.5.3.1.10
  EXPECT_TRUE(means_too_many_recipients({552, "", "Too many recipients"}, true));
  EXPECT_TRUE(means_too_many_recipients({552, "5.5.3", "no more"}, true));
  EXPECT_FALSE(means_too_many_recipients({552, "5.5.3", "no more"}, false));
  EXPECT_FALSE(means_too_many_recipients({552, "5.2.2", "mailbox full"}, true));
  EXPECT_FALSE(means_too_many_recipients({550, "", "Too many recipients"}, true));
}

TEST(Manners, ConnectionsComeBackOneByOne) {
  ConnectionCap cap;
  EXPECT_EQ(cap.allowed(4, 0), 4U);
  cap.lower(2, 1000);
  EXPECT_EQ(cap.allowed(4, 1000 + ConnectionCap::kHoldMs - 1), 2U);
  EXPECT_EQ(cap.allowed(4, 1000 + ConnectionCap::kHoldMs), 3U);
  EXPECT_EQ(cap.allowed(4, 1000 + 2 * ConnectionCap::kHoldMs), 4U);
  EXPECT_FALSE(cap.lowered());
  cap.lower(0, 0);
  EXPECT_EQ(cap.allowed(4, 1), 1U);  // one is always allowed
}

TEST(Rates, NeverMoreThanTheLimitInAnyMinute) {
  policy::Smarthost smarthost;
  smarthost.messages_per_minute = 30;
  Rates rates;
  std::vector<std::int64_t> sent;
  for (std::int64_t now_ms = 0; now_ms < 600'000; now_ms += 250) {
    while (rates.wait(smarthost, now_ms).for_ms == 0) {
      rates.message(now_ms);
      sent.push_back(now_ms);
    }
  }
  ASSERT_GE(sent.size(), 30U * 9U);  // and not much less
  for (std::size_t i = 30; i < sent.size(); ++i) EXPECT_GE(sent[i] - sent[i - 30], 60'000);
}

TEST(Rates, TheWaitIsAsLongAsItSays) {
  policy::Smarthost smarthost;
  smarthost.messages_per_minute = 2;
  Rates rates;
  rates.message(10'000);
  EXPECT_EQ(rates.wait(smarthost, 10'500).for_ms, 0);
  rates.message(20'000);
  const Rates::Wait wait = rates.wait(smarthost, 20'100);
  EXPECT_EQ(wait.rate, "2 messages a minute");
  ASSERT_GT(wait.for_ms, 0);
  EXPECT_GT(rates.wait(smarthost, 20'100 + wait.for_ms - 1).for_ms, 0);
  EXPECT_EQ(rates.wait(smarthost, 20'100 + wait.for_ms).for_ms, 0);
}

TEST(Rates, TheDayCountsRecipientsToo) {
  policy::Smarthost smarthost;
  smarthost.recipients_per_day = 100;
  Rates rates;
  rates.recipients(99, 0);
  EXPECT_EQ(rates.wait(smarthost, 1).for_ms, 0);
  rates.recipients(1, 1);
  const Rates::Wait wait = rates.wait(smarthost, 2);
  EXPECT_EQ(wait.rate, "100 recipients a day");
  EXPECT_GE(wait.for_ms, 86'400'000 - 2);
  EXPECT_EQ(rates.wait(policy::Smarthost{}, 2).for_ms, 0);  // no limit, no wait
}

TEST(Connector, FamiliesInTurns) {  // RFC 8305 section 4
  using List = std::vector<std::string>;
  EXPECT_EQ(in_turns({}), List{});
  EXPECT_EQ(in_turns({"10.0.0.1", "10.0.0.2"}), (List{"10.0.0.1", "10.0.0.2"}));
  EXPECT_EQ(in_turns({"::1", "::2", "::3", "10.0.0.1"}), (List{"::1", "10.0.0.1", "::2", "::3"}));
}

}  // namespace
}  // namespace egress
