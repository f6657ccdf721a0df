// The trail tells what happened and nothing else, is bounded, and gives way to mail.
#include "queue/trail.h"

#include <lmdb.h>

#include <atomic>
#include <cerrno>

#include "queue/support.h"

namespace queue {
namespace {

class Trail : public StoreTest {
 protected:
  void open_keeping(std::int64_t keep_ms) {
    store_.reset();
    StoreOptions options;
    options.directory = queue_directory();
    options.limits = &limits_;
    options.clock = &clock_;
    options.metrics = &metrics_;
    options.trail_keep_ms = keep_ms;
    options.fault = fault_;
    auto opened = Store::open(std::move(options));
    ASSERT_TRUE(opened.ok()) << opened.message();
    store_ = opened.take();
  }
  NewMessage noted(const std::string& message_id) {
    NewMessage message = new_message("p", "c");
    message.note.message_id = message_id;
    message.note.text = "accepted";
    return message;
  }
  base::Id submit_noted(const std::string& message_id) {
    NewMessage message = noted(message_id);
    const base::Id id = message.message.id;
    EXPECT_EQ(submit(std::move(message)), Failure::kNone);
    return id;
  }
  DeliveryUpdate deferral(const base::Id& id, std::uint32_t attempts, const std::string& reply) {
    DeliveryUpdate change;
    change.id = id;
    change.attempts = attempts;
    change.next_attempt_ms = clock_.wall_ms() + 60'000;
    change.last_reply = reply;
    change.note.remote = "mail.acme.example";
    for (const std::uint32_t index : {0U, 1U}) {
      change.recipients.push_back({index, RecipientState::kPending, reply});
    }
    return change;
  }
  DeliveryUpdate delivered(const base::Id& id, const std::string& remote_id) {
    DeliveryUpdate change;
    change.id = id;
    change.finished = true;
    change.attempts = 2;
    change.note.remote_id = remote_id;
    for (const std::uint32_t index : {0U, 1U}) {
      change.recipients.push_back({index, RecipientState::kDelivered, "250 ok"});
    }
    return change;
  }
  std::vector<std::string> names(const base::Id& id) const {
    std::vector<std::string> out;
    for (const TrailStep& step : store_->trail(id)) out.emplace_back(name(step.step));
    return out;
  }
  void forget_soon(const base::Id& id) {
    // The committer looks once a second by itself, and with every change.
    for (int i = 0; i < 50 && !store_->trail(id).empty(); ++i) submit_text("", "x");
  }
};
using Names = std::vector<std::string>;

TEST_F(Trail, TellsEveryStepInOrderAndFindsByEveryTerm) {
  open();
  const base::Id id = submit_noted("<One@Test.example>");
  clock_.set_wall_ms(clock_.wall_ms() + 1000);
  ASSERT_EQ(update(deferral(id, 1, "451 later")), Failure::kNone);
  ASSERT_EQ(wait_for([&](auto done) { store_->hold(id, "why", done); }), Failure::kNone);
  ASSERT_EQ(wait_for([&](auto done) { store_->release(id, done); }), Failure::kNone);
  ASSERT_EQ(wait_for([&](auto done) { store_->retry(id, done); }), Failure::kNone);
  ASSERT_EQ(update(delivered(id, "4FkX")), Failure::kNone);
  EXPECT_EQ(names(id), (Names{"received", "deferred", "held by the operator", "released", "retried",
                              "delivered"}));
  const auto steps = store_->trail(id);
  EXPECT_EQ(steps[0].text, "accepted");
  EXPECT_EQ(steps[0].origin->recipients, (Names{"a@customer.example", "b@customer.example"}));
  EXPECT_EQ(steps[1].text, "451 later");
  EXPECT_EQ(steps[1].next_attempt_ms, steps[1].at_ms + 60'000);
  EXPECT_EQ(steps[1].recipient_count, 0U);  // all of them
  EXPECT_EQ(steps[2].text, "why");
  EXPECT_EQ(steps[5].remote_id, "4FkX");
  for (std::size_t i = 0; i < steps.size(); ++i) {
    EXPECT_EQ(steps[i].number, i);
    if (i > 0) {
      EXPECT_GE(steps[i].at_ms, steps[i - 1].at_ms);
    }
  }
  store_.reset();
  open();  // a restart keeps it
  EXPECT_EQ(store_->trail(id), steps);
  for (const char* term :
       {"one@test.example", "<ONE@test.example>", " <one@test.example>", "a@customer.example",
        "B@customer.example", "support@acme.example", "4fkx"}) {
    EXPECT_EQ(store_->find_by_term(term, 10), std::vector{id}) << term;
  }
  EXPECT_TRUE(store_->find_by_term("nobody@customer.example", 10).empty());
  EXPECT_TRUE(store_->find_by_term("", 10).empty());
}

TEST_F(Trail, RecipientsWithTheSameAnswerShareAStep) {
  open();
  const base::Id id = submit_noted("");
  DeliveryUpdate change = deferral(id, 1, "452 full");
  change.recipients[0] = {0, RecipientState::kFailed, "550 no\r\nsuch user"};
  NewMessage report = new_message("", "bounce");
  report.message.kind = Kind::kBounce;
  report.message.related_id = id.str();
  const base::Id report_id = report.message.id;
  change.also.push_back(std::move(report));
  ASSERT_EQ(update(std::move(change)), Failure::kNone);
  EXPECT_EQ(names(id), (Names{"received", "failed", "deferred", "event"}));
  const auto steps = store_->trail(id);
  EXPECT_EQ(steps[1].recipients, std::vector<std::uint32_t>{0});
  EXPECT_EQ(steps[1].text, "550 no??such user");
  EXPECT_EQ(steps[2].recipients, std::vector<std::uint32_t>{1});
  EXPECT_EQ(steps[3].related, report_id.str());
  EXPECT_EQ(store_->find_by_term(id.str(), 10), std::vector{report_id});
  ASSERT_EQ(wait_for([&](auto done) { store_->remove(id, done); }), Failure::kNone);
  EXPECT_EQ(names(id).back(), "removed");
}

TEST_F(Trail, KeepsTheFirstAndTheLastSteps) {
  open();
  const base::Id id = submit_noted("<long@test.example>");
  constexpr std::uint32_t kAttempts = 100;
  for (std::uint32_t i = 1; i <= kAttempts; ++i) {
    ASSERT_EQ(update(deferral(id, i, "451 " + std::string(5000, 'x'))), Failure::kNone);
  }
  const auto steps = store_->trail(id);
  ASSERT_EQ(steps.size(), kStepsFirst + kStepsLast);
  EXPECT_EQ(steps.front().step, Step::kReceived);
  EXPECT_EQ(steps[kStepsFirst - 1].number, kStepsFirst - 1);
  EXPECT_EQ(steps[kStepsFirst].number, kAttempts + 1 - kStepsLast);
  EXPECT_EQ(steps.back().attempts, kAttempts);
  for (const TrailStep& step : steps) EXPECT_LE(step.text.size(), kTrailTextMax);
  EXPECT_EQ(store_->find_by_term("long@test.example", 10), std::vector{id});
}

TEST_F(Trail, FindsTheLatestFirstOverManyBuckets) {
  open();
  std::vector<base::Id> ids;
  for (int restart = 0; restart < 3; ++restart) {  // a bucket each
    for (int i = 0; i < 4; ++i)
      ids.push_back(submit_noted("<" + std::to_string(ids.size()) + "@x>"));
    open();
  }
  std::reverse(ids.begin(), ids.end());
  std::vector<base::Id> found = store_->find_by_term("a@customer.example", 100);
  EXPECT_EQ(found, ids);
  found = store_->find_by_term("a@customer.example", 5);
  EXPECT_EQ(found, std::vector<base::Id>(ids.begin(), ids.begin() + 5));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    EXPECT_EQ(store_->find_by_term(std::to_string(11 - i) + "@x", 5), std::vector{ids[i]});
  }
}

TEST_F(Trail, IsForgottenSomeTimeAfterTheMessageIsGone) {
  open_keeping(base::kHour);
  const base::Id gone = submit_noted("<gone@test.example>");
  const base::Id stays = submit_noted("<stays@test.example>");
  clock_.set_wall_ms(clock_.wall_ms() + 2 * base::kHour);
  ASSERT_EQ(update(delivered(gone, "R1")), Failure::kNone);
  for (int i = 0; i < 5; ++i) submit_text("", "x");
  EXPECT_EQ(names(gone), (Names{"received", "delivered"})) << "its time begins when it is gone";
  clock_.set_wall_ms(clock_.wall_ms() + base::kHour + 1);
  forget_soon(gone);
  EXPECT_TRUE(store_->trail(gone).empty());
  for (const char* term : {"gone@test.example", "R1"}) {
    EXPECT_TRUE(store_->find_by_term(term, 10).empty()) << term;
  }
  EXPECT_EQ(names(stays), Names{"received"});
  EXPECT_EQ(store_->find_by_term("stays@test.example", 10), std::vector{stays});
}

TEST_F(Trail, ZeroKeepsNoneAndForgetsWhatThereWas) {
  open();
  const base::Id id = submit_noted("<one@test.example>");
  ASSERT_EQ(update(delivered(id, "R1")), Failure::kNone);
  open_keeping(0);
  clock_.set_wall_ms(clock_.wall_ms() + base::kMinute);
  const base::Id later = submit_noted("<two@test.example>");
  forget_soon(id);
  EXPECT_TRUE(store_->trail(id).empty());
  EXPECT_TRUE(store_->trail(later).empty());
  EXPECT_TRUE(store_->find_by_term("two@test.example", 10).empty());
}

// The map is small: mail fills it, and the trail is what gives way.
TEST_F(Trail, GivesWayToMailWhereTheMapIsScarce) {
  limits_.queue_map_size = base::kMiB;
  const auto fill = [&](std::vector<base::Id>& kept) {
    for (;;) {
      NewMessage message = noted("<m" + std::to_string(kept.size()) + "@test.example>");
      const base::Id id = message.message.id;
      message.message.judgement = std::string(3000, 'j');  // so that it takes few of them
      if (submit(std::move(message)) != Failure::kNone) return;
      kept.push_back(id);
      ASSERT_LT(kept.size(), 10'000U);
    }
  };
  std::vector<base::Id> without;
  open_keeping(0);
  fill(without);
  store_.reset();
  std::filesystem::remove_all(queue_directory());
  open();
  // Trails of what is gone, then mail: it has as much room as it would have without them, but for
  // the pages that the two tables cannot give back.
  const base::Id gone = submit_noted("<gone@test.example>");
  ASSERT_EQ(update(delivered(gone, "R1")), Failure::kNone);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(finish(submit_noted("<x@test.example>")), Failure::kNone);
  std::vector<base::Id> kept;
  fill(kept);
  EXPECT_GT(kept.size(), without.size() * 8 / 10) << "of " << without.size();
  EXPECT_TRUE(store_->trail(gone).empty());
  EXPECT_TRUE(store_->find_by_term("gone@test.example", 10).empty());
  EXPECT_TRUE(store_->trail(kept.back()).empty()) << "nothing is written near the end of the map";
  for (const base::Id& id : kept) ASSERT_TRUE(store_->find(id)) << id.str();
  for (const base::Id& id : kept) ASSERT_EQ(finish(id), Failure::kNone);
  EXPECT_EQ(store_->message_count(), 0U);
}

// Whatever fails, and whenever: what the trail tells is what the queue did.
TEST_F(Trail, AgreesWithTheQueueWhateverFails) {
  std::atomic<int> countdown = 0;
  std::atomic<int> code = 0;
  std::atomic<bool> failed = false;
  fault_ = [&](FileCall) {
    if (countdown <= 0 || --countdown != 0) return 0;
    failed = true;
    return code.load();
  };
  int runs = 0;
  for (const int error : {EIO, ENOSPC, static_cast<int>(MDB_MAP_FULL)}) {
    for (int n = 1; n < 2000; ++n) {
      store_.reset();
      std::filesystem::remove_all(queue_directory());
      failed = false;
      code = error;
      countdown = n;
      std::vector<base::Id> ids;
      if (auto opened = try_open()) {
        store_ = opened.take();
        for (int i = 0; i < 4; ++i) {
          NewMessage message;
          message.message = message_of(ids_.next());
          message.note.message_id = "<" + std::to_string(i) + "@x>";
          message.deliveries.push_back(delivery_to("smarthost:acme.example", 1, {0, 1}));
          ids.push_back(message.message.id);
          (void)submit(std::move(message));
        }
        (void)update(deferral(ids[0], 1, "451"));
        (void)update(delivered(ids[1], "R1"));
        (void)wait_for([&](auto done) { store_->hold(ids[2], "why", done); });
        (void)wait_for([&](auto done) { store_->remove(ids[3], done); });
        store_.reset();
      }
      countdown = 0;
      open();
      SCOPED_TRACE("call " + std::to_string(n) + " failed with " + std::to_string(error));
      for (const base::Id& id : ids) {
        const bool there = store_->find(id) != nullptr;
        const auto steps = store_->trail(id);
        const auto tells = [&](Step step) {
          return std::any_of(steps.begin(), steps.end(),
                             [&](const TrailStep& one) { return one.step == step; });
        };
        // Where there was no room the trail may say less, never something else.
        if (there && error == EIO) {
          ASSERT_TRUE(tells(Step::kReceived));
        }
        ASSERT_FALSE(there && (tells(Step::kDelivered) || tells(Step::kRemoved)));
        const auto delivery = store_->delivery(id, 0);
        if (tells(Step::kDeferred)) {
          ASSERT_EQ(delivery->attempts, 1U);
        }
        if (tells(Step::kHeldByOperator)) {
          ASSERT_EQ(delivery->state, State::kHeld);
        }
        if (error == EIO && there && delivery->attempts == 1) {
          ASSERT_TRUE(tells(Step::kDeferred));
        }
        if (error == EIO && there && delivery->state == State::kHeld) {
          ASSERT_TRUE(tells(Step::kHeldByOperator));
        }
        // Every term that is there leads to a trail.
        for (const base::Id& found : store_->find_by_term("a@customer.example", 100)) {
          ASSERT_FALSE(store_->trail(found).empty());
        }
      }
      ++runs;
      if (!failed) break;
    }
  }
  EXPECT_GT(runs, 100);
}

TEST(TrailStep, IsReadAsItWasWrittenAndNothingElseIs) {
  TrailStep step;
  step.step = Step::kReceived;
  step.at_ms = -5;
  step.destination = "backend:acme";
  step.attempts = 7;
  step.next_attempt_ms = 99;
  step.text = "t";
  step.remote = "r";
  step.remote_id = "i";
  step.related = "x";
  step.recipient_count = 3;
  step.recipients = {0, 5};
  step.origin = TrailOrigin{Kind::kEvent, "a", "b", "c", "d", "e", "f", "g", "h", "i", 5, 6, {"z"}};
  step.terms = {1, 0xffffffffffffffffU};
  step.bucket = 12;
  const std::string record = encode_step(step);
  EXPECT_EQ(decode_step(0, record), step);
  for (std::size_t size = 0; size < record.size(); ++size) {
    EXPECT_EQ(decode_step(0, record.substr(0, size)), std::nullopt) << size;
  }
  EXPECT_EQ(decode_step(0, record + "x"), std::nullopt);
  for (std::size_t at = 0; at < record.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bytes = record;
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << bit));
      (void)decode_step(0, bytes);  // must not crash
    }
  }
}

// The vectors of the paper's reference implementation: key 00..0f, text 00, 00 01, ...
TEST(TermHash, IsSipHash) {
  std::string key;
  for (char c = 0; c < 16; ++c) key.push_back(c);
  EXPECT_EQ(term_hash(key, ""), 0x726fdb47dd0e0e31U);
  EXPECT_NE(term_hash(key, "a"), term_hash(std::string(16, 'k'), "a"));
  EXPECT_EQ(term_hash(key, " <A@b> "), term_hash(key, "a@B"));
}

}  // namespace
}  // namespace queue
