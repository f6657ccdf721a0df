#include "relayd/egress/login_locks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "policy/accounts_fixture.h"
#include "queue/support.h"
#include "relayd/egress/notices.h"

namespace egress {
namespace {

using testing::HasSubstr;
using Answer = LoginLocks::Answer;

constexpr std::int64_t kHourMs = 3'600'000;
const smtp::Reply kRejected = {535, "5.7.8", "wrong"};

class LoginLocksTest : public policy::AccountsFixture {
 protected:
  LoginLocksTest() {
    queue::StoreOptions options;
    options.directory = queue_directory_.path() + "/queue";
    options.limits = &limits_;
    options.clock = &clock_;
    auto opened = queue::Store::open(options);
    if (!opened.ok()) throw std::runtime_error(opened.message());
    queue_ = opened.take();
    if (const auto applied = open().apply(acme()); !applied.ok()) {
      throw std::runtime_error(applied.message());
    }
    settings_ = std::make_shared<Settings>();
    settings_->hostname = "relay.test";
    start();
  }
  // As a process that starts: what is not on disk is gone.
  void start() {
    locks_.reset();
    open();
    workplace_.store = queue_.get();
    workplace_.accounts = store_.get();
    workplace_.ids = &ids_;
    workplace_.clock = &clock_;
    workplace_.metrics = &metrics_;
    locks_ = std::make_unique<LoginLocks>(workplace_);
    locks_->use(settings_);
  }
  void reject() { locks_->rejected(account_, "acme.example", kRejected); }
  std::vector<std::string> events() {
    std::vector<std::string> found;
    for (const auto& row : queue_->list({}).rows) found.push_back(row.message.event);
    return found;
  }
  void wait_for_events(std::size_t count) {
    for (int i = 0; i < 500 && events().size() < count; ++i) usleep(10'000);
    ASSERT_EQ(events().size(), count);
  }

  queue::TemporaryDirectory queue_directory_;
  std::unique_ptr<queue::Store> queue_;
  base::Metrics metrics_;
  base::IdGenerator ids_{clock_};
  Workplace workplace_;
  std::shared_ptr<Settings> settings_;
  std::unique_ptr<LoginLocks> locks_;
  const policy::SmarthostAccount account_{"acme", "mail.acme.example", "relayd"};
};

TEST_F(LoginLocksTest, LockedAfterThreeForAnHourThenOneProbe) {
  for (int i = 0; i < 2; ++i) {
    reject();
    EXPECT_EQ(locks_->ask(account_), Answer::kGo);
  }
  EXPECT_TRUE(events().empty());
  clock_.advance_ms(1000);
  reject();
  EXPECT_EQ(locks_->ask(account_), Answer::kLocked);
  wait_for_events(1);
  const auto row = queue_->list({}).rows.at(0);
  EXPECT_EQ(row.message.event, "connector.locked");
  EXPECT_EQ(row.delivery.destination, "backend:acme");
  for (const char* part :
       {R"("host":"mail.acme.example")", R"("username":"relayd")", R"("reason":"535 5.7.8 wrong")",
        R"("next_probe":")", "relayctl smarthost unlock acme.example"}) {
    EXPECT_THAT(row.message.details, HasSubstr(part));
  }
  EXPECT_THAT(metrics_.expose(), HasSubstr("relayd_smarthost_locked 1"));

  clock_.advance_ms(kHourMs - 1);
  EXPECT_EQ(locks_->ask(account_), Answer::kLocked);
  clock_.advance_ms(1);
  EXPECT_EQ(locks_->ask(account_), Answer::kGo);
  EXPECT_TRUE(locks_->begin(account_));
  EXPECT_EQ(locks_->ask(account_), Answer::kBusy);  // one probe
  locks_->end_trial(account_);
  reject();
  EXPECT_EQ(locks_->ask(account_), Answer::kLocked);  // an hour from the last failure
  clock_.advance_ms(kHourMs);
  EXPECT_EQ(locks_->ask(account_), Answer::kGo);
  locks_->accepted(account_, "acme.example");
  EXPECT_EQ(locks_->ask(account_), Answer::kGo);
  wait_for_events(2);  // told once each, however many probes failed
  EXPECT_THAT(events(), testing::UnorderedElementsAre("connector.locked", "connector.unlocked"));
  EXPECT_THAT(metrics_.expose(), HasSubstr("relayd_smarthost_locked 0"));
}

TEST_F(LoginLocksTest, OnlyFailuresInARowCount) {
  for (int i = 0; i < 10; ++i) {
    reject();
    reject();
    locks_->accepted(account_, "acme.example");
  }
  EXPECT_EQ(locks_->ask(account_), Answer::kGo);
  EXPECT_TRUE(events().empty());
}

TEST_F(LoginLocksTest, OthersAreUntouched) {
  for (int i = 0; i < 3; ++i) reject();
  EXPECT_EQ(locks_->ask({"acme", "mail.acme.example", "other"}), Answer::kGo);
  EXPECT_EQ(locks_->ask({"acme", "other.acme.example", "relayd"}), Answer::kGo);
  EXPECT_EQ(locks_->ask({"rival", "mail.acme.example", "relayd"}), Answer::kGo);
}

TEST_F(LoginLocksTest, TheLockOutlivesTheProcess) {
  reject();
  reject();
  start();
  reject();  // failures count across the restart too
  EXPECT_EQ(locks_->ask(account_), Answer::kLocked);
  start();
  EXPECT_EQ(locks_->ask(account_), Answer::kLocked);
  EXPECT_THAT(metrics_.expose(), HasSubstr("relayd_smarthost_locked 1"));
  clock_.advance_ms(kHourMs);
  EXPECT_EQ(locks_->ask(account_), Answer::kGo);
  locks_->accepted(account_, "acme.example");
  wait_for_events(2);
  start();
  EXPECT_EQ(locks_->ask(account_), Answer::kGo);
}

TEST_F(LoginLocksTest, TheOperatorUnlocks) {
  for (int i = 0; i < 3; ++i) reject();
  wait_for_events(1);
  int told = 0;
  store_->on_change([&](const policy::AccountsSnapshot&) { ++told; });
  const auto unlocked = store_->unlock_smarthost("acme.example");
  ASSERT_TRUE(unlocked.ok()) << unlocked.message();
  EXPECT_TRUE(*unlocked);
  EXPECT_EQ(told, 1);
  locks_->accounts_changed();
  EXPECT_EQ(locks_->ask(account_), Answer::kGo);
  wait_for_events(2);
  EXPECT_FALSE(*store_->unlock_smarthost("acme.example"));
  EXPECT_FALSE(store_->unlock_smarthost("nobody.example").ok());
}

TEST_F(LoginLocksTest, AnotherPasswordUnlocksAndTheSameDoesNot) {
  for (int i = 0; i < 3; ++i) reject();
  policy::Plan plan = acme();
  ASSERT_TRUE(store_->apply(plan).ok());
  EXPECT_EQ(locks_->ask(account_), Answer::kLocked);
  plan.tenants[0].domains[0].smarthost->connections = 7;
  ASSERT_TRUE(store_->apply(plan).ok());
  EXPECT_EQ(locks_->ask(account_), Answer::kLocked);
  plan.tenants[0].domains[0].smarthost->password = "another";
  ASSERT_TRUE(store_->apply(plan).ok());
  EXPECT_EQ(locks_->ask(account_), Answer::kGo);
  start();
  EXPECT_EQ(locks_->ask(account_), Answer::kGo);
}

TEST_F(LoginLocksTest, AWallClockSetBackDoesNotHoldTheLock) {
  for (int i = 0; i < 3; ++i) reject();
  clock_.set_wall_ms(clock_.wall_ms() - 10 * kHourMs);
  EXPECT_EQ(locks_->ask(account_), Answer::kGo);
}

// ---- message.delayed and message.delivered ------------------------------------------------------

class NoticesTest : public LoginLocksTest {
 protected:
  NoticesTest() {
    message_.tenant = "acme";
    message_.domain = "acme.example";
    message_.envelope.mail_from = "support@acme.example";
    message_.arrival_ms = clock_.wall_ms();
    message_.expiry_ms = message_.arrival_ms + 120 * kHourMs;
    message_.envelope.recipients.push_back({"anna@customer.example", "", ""});
    delivery_.next_attempt_ms = message_.arrival_ms;
    delivery_.recipients.push_back({0, queue::RecipientState::kPending, ""});
  }
  // One attempt now; the delivery as it is after it.
  Judged attempt(const smtp::Reply& reply) {
    Judged judged = judge_replies(message_, delivery_, {reply}, "mail", {60 * 60'000, 3 * kHourMs},
                                  clock_.wall_ms());
    add_notices(workplace_, *settings_, message_, delivery_, "", "mail", judged);
    delivery_.next_attempt_ms = judged.update.next_attempt_ms;
    delivery_.attempts = judged.update.attempts;
    return judged;
  }
  queue::Message message_;
  queue::Delivery delivery_;
};

TEST_F(NoticesTest, DelayedOnceAfterFourHours) {
  const std::int64_t start_ms = clock_.wall_ms();
  std::vector<std::int64_t> told_ms;
  for (int i = 0; i < 12; ++i) {
    const Judged judged = attempt({451, "4.2.1", "busy"});
    for (const auto& also : judged.update.also) {
      EXPECT_EQ(also.message.event, "message.delayed");
      EXPECT_EQ(also.message.kind, queue::Kind::kEvent);
      EXPECT_EQ(also.message.related_id, message_.id.str());
      EXPECT_THAT(also.message.details, HasSubstr(R"("action":"delayed","status":"4.2.1")"));
      told_ms.push_back(clock_.wall_ms() - start_ms);
    }
    clock_.advance_ms(delivery_.next_attempt_ms - clock_.wall_ms());
  }
  EXPECT_EQ(told_ms, std::vector<std::int64_t>{kDelayNoticeMs});
}

TEST_F(NoticesTest, WhoIsTold) {  // RFC 3461 4.1
  struct Case {
    const char *notify, *mail_from;
    bool delay, success;
  };
  const Case cases[] = {
      {"", "a@acme.example", true, false},
      {"NEVER", "a@acme.example", false, false},
      {"FAILURE", "a@acme.example", false, false},
      {"DELAY", "a@acme.example", true, false},
      {"SUCCESS,FAILURE", "a@acme.example", false, true},
      {"success,delay", "a@acme.example", true, true},
      {"SUCCESS,DELAY", "", false, false},
  };
  for (const Case& c : cases) {
    message_.envelope.mail_from = c.mail_from;
    const mail::Recipient recipient{"anna@customer.example", c.notify, ""};
    EXPECT_EQ(wants_delay_notice(message_, recipient), c.delay) << c.notify;
    EXPECT_EQ(wants_success_notice(message_, recipient), c.success) << c.notify;
  }
}

TEST_F(NoticesTest, DeliveredWhereItWasAskedFor) {
  EXPECT_TRUE(attempt({250, "2.0.0", "ok"}).update.also.empty());
  message_.envelope.recipients[0].notify = "SUCCESS";
  const Judged judged = attempt({250, "2.0.0", "queued as 7"});
  ASSERT_EQ(judged.update.also.size(), 1U);
  EXPECT_EQ(judged.update.also[0].message.event, "message.delivered");
  EXPECT_THAT(judged.update.also[0].message.details, HasSubstr("queued as 7"));
  // Where the event cannot be kept the message is still done with.
  EXPECT_TRUE(without_report(judged.update, 5).finished);
}

}  // namespace
}  // namespace egress
