// What a message waits for, in words: every kind of waiting as a row.
#include "relayd/admin/explanation.h"

#include <gtest/gtest.h>

#include "core/base/limits.h"

namespace admin {
namespace {

using queue::Step;
using queue::Wait;

constexpr std::int64_t kNow = 1'700'000'000'000;
constexpr std::int64_t kSoon = kNow + 10 * base::kSecond;
constexpr std::int64_t kLater = kNow + base::kHour;
constexpr std::int64_t kArrival = kNow - base::kHour;

Situation waiting(Wait wait, std::int64_t until_ms, std::int64_t due_ms) {
  Situation s;
  s.now_ms = kNow;
  s.message.arrival_ms = kArrival;
  s.message.envelope.mail_from = "support@acme.example";
  s.delivery.destination = "smarthost:acme.example";
  s.delivery.attempts = 2;
  s.delivery.next_attempt_ms = due_ms;
  s.delivery.last_reply = "451 4.3.0 own reply";
  s.hindrance = {wait, "WHAT", "what was SAID", kNow - base::kMinute, until_ms};
  return s;
}

TEST(Explanation, OfEveryKindOfWaiting) {
  struct Case {
    Wait told;
    std::int64_t until_ms, due_ms;
    Wait wait;
    std::int64_t next_ms;
    std::string in_text, in_advice, last_reply;
  };
  const std::string own = "451 4.3.0 own reply", said = "what was SAID";
  const Case cases[] = {
      {Wait::kLocked, kLater, kNow, Wait::kLocked, kLater, "account WHAT, which is locked",
       "relayctl smarthost unlock acme.example", said},
      {Wait::kLocked, kSoon, kLater, Wait::kLocked, kSoon, "locked", "user name and password",
       said},
      {Wait::kLoginProbe, 0, kNow, Wait::kLoginProbe, 0, "is being tried", "in a moment", said},
      {Wait::kRate, kSoon, kNow, Wait::kRate, kSoon, "the rate of WHAT", "raise", said},
      {Wait::kRate, kSoon, kLater, Wait::kBackOff, kLater, "its own time", "queue retry", own},
      {Wait::kTrouble, kLater, kNow, Wait::kTrouble, kLater, "WHAT, which cannot be used",
       "port, TLS, certificate", said},
      {Wait::kNoSmarthost, 0, kNow, Wait::kNoSmarthost, 0, "none is set for acme.example",
       "smarthost add", said},
      {Wait::kConnections, 0, kNow, Wait::kConnections, 0, "one of the WHAT connections",
       "more connections", said},
      {Wait::kConnections, 0, kLater, Wait::kBackOff, kLater, "its own time", "queue retry", own},
      {Wait::kReconnect, kSoon, kNow, Wait::kReconnect, kSoon, "the reconnect interval",
       "reconnect_interval", said},
      {Wait::kRefused, kSoon, kLater, Wait::kRefused, kSoon, "back end of WHAT, which refuses",
       "relayctl backend resume WHAT", said},
      {Wait::kUnavailable, kSoon, kLater, Wait::kUnavailable, kSoon, "which is not there",
       "relayctl backend resume WHAT", said},
      {Wait::kQueue, 0, kNow, Wait::kQueue, 0, "cannot write down outcomes", "make room", said},
      {Wait::kInHand, 0, kNow, Wait::kInHand, 0, "in hand", "in a moment", said},
      {Wait::kTurn, 0, kLater, Wait::kBackOff, kLater, "its own time", "queue retry", own},
      {Wait::kTurn, 0, kNow, Wait::kTurn, 0, "goes out next", "in a moment", said},
  };
  for (const Case& c : cases) {
    const Explanation why = explain(waiting(c.told, c.until_ms, c.due_ms));
    SCOPED_TRACE(std::string(queue::name(c.told)) + ": " + why.text);
    EXPECT_EQ(why.wait, c.wait);
    EXPECT_EQ(why.next_attempt_ms, c.next_ms);
    EXPECT_NE(why.text.find(c.in_text), std::string::npos);
    EXPECT_NE(why.advice.find(c.in_advice), std::string::npos);
    EXPECT_EQ(why.last_reply, c.last_reply);
    EXPECT_NE(why.text.find("\"" + c.last_reply + "\""), std::string::npos);
    EXPECT_NE(why.text.find("What to do: " + why.advice), std::string::npos);
    EXPECT_NE(why.text.find("from <support@acme.example> for smarthost:acme.example waits for"),
              std::string::npos);
    EXPECT_NE(why.text.find("2 attempts were made"), std::string::npos);
    EXPECT_EQ(why.text.find("next try is at") != std::string::npos, c.next_ms != 0);
    EXPECT_EQ(why.since_ms, c.wait == Wait::kBackOff ? kArrival : kNow - base::kMinute);
  }
}

TEST(Explanation, OfItsTurnInALongQueue) {
  Situation s = waiting(Wait::kTurn, 0, kNow);
  s.before = 417;
  EXPECT_NE(explain(s).text.find("417 that are for the same destination came before it"),
            std::string::npos);
  s.before = kCountedBefore;
  EXPECT_NE(explain(s).text.find("more than 100000"), std::string::npos);
}

TEST(Explanation, OfWhatIsHeldAndByWhom) {
  struct Case {
    Step by;
    std::string reason, in_text, in_advice;
  };
  const Case cases[] = {
      {Step::kHeldByOperator, "asked by Anna", "is held by the operator", "queue release"},
      {Step::kHeldByOperator, "HTTP 422: no", "is held by the operator", "queue release"},
      {Step::kHeld, "header guard: Subject differs", "not what came in", "look at the disk"},
      {Step::kHeld, "HTTP 422: no such queue", "does not take this ticket", "mend what"},
      {Step::kHeld, "expired, held for the operator", "is held by relayd", "look at the reason"},
      {Step::kReceived, "damaged: its bytes are not whole", "are damaged", "backup"},
      {Step::kReceived, "held by the operator", "is held by the operator", "queue release"},
  };
  for (const Case& c : cases) {
    Situation s = waiting(Wait::kTurn, 0, kNow);
    s.delivery.state = queue::State::kHeld;
    s.delivery.last_reply = c.reason;
    queue::TrailStep step;
    step.step = c.by;
    step.at_ms = kNow - 5;
    step.destination = s.delivery.destination;
    s.trail = {step};
    const Explanation why = explain(s);
    SCOPED_TRACE(why.text);
    EXPECT_EQ(why.wait, Wait::kHeld);
    EXPECT_EQ(why.next_attempt_ms, 0);
    EXPECT_EQ(why.since_ms, c.by == Step::kReceived ? kArrival : kNow - 5);
    EXPECT_EQ(why.last_reply, c.reason);
    EXPECT_NE(why.text.find(c.in_text), std::string::npos);
    EXPECT_NE(why.advice.find(c.in_advice), std::string::npos);
    EXPECT_NE(why.text.find("not tried until it is released"), std::string::npos);
  }
}

TEST(Explanation, OfWhatIsGone) {
  const auto step = [](Step what, std::int64_t at_ms, const std::string& text) {
    queue::TrailStep one;
    one.step = what;
    one.at_ms = at_ms;
    one.text = text;
    one.destination = "smarthost:acme.example";
    return one;
  };
  using Steps = std::vector<queue::TrailStep>;
  const auto received = step(Step::kReceived, kArrival, "");
  struct Case {
    Steps steps;
    std::string outcome, in_text;
  };
  const Case cases[] = {
      {{received, step(Step::kDelivered, kNow, "250 ok")}, "delivered", "250 ok"},
      {{received, step(Step::kDelivered, kNow - 1, "250"), step(Step::kFailed, kNow, "550 no")},
       "failed",
       "550 no"},
      {{received, step(Step::kExpired, kNow, "451")}, "expired", "given up"},
      {{received, step(Step::kRemoved, kNow, "")}, "removed", "removed by the operator"},
      {{received}, "unknown", "does not say what became of it"},
  };
  for (const Case& c : cases) {
    const Fate fate = explain_gone("ID", c.steps);
    SCOPED_TRACE(fate.text);
    EXPECT_EQ(fate.outcome, c.outcome);
    EXPECT_EQ(fate.gone_ms, c.outcome == "unknown" ? 0 : kNow);
    EXPECT_NE(fate.text.find(c.in_text), std::string::npos);
    EXPECT_NE(fate.text.find("Message ID is no longer in the queue"), std::string::npos);
  }
}

}  // namespace
}  // namespace admin
