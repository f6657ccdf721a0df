#include "queue/store.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <mutex>
#include <thread>

#include "queue/support.h"

namespace queue {
namespace {

namespace fs = std::filesystem;

class Basic : public StoreTest {
 protected:
  void SetUp() override { open(); }
};

TEST_F(Basic, BytesComeBackAsTheyWere) {
  const std::string sizes[] = {"", "x", random_text(65'536, 1), random_text(65'537, 2),
                               random_text(5'000'000, 3)};
  std::vector<base::Id> ids;
  for (const std::string& content : sizes) {
    ids.push_back(submit_text("Received: by us\r\n", content));
    ids.push_back(submit_text("", content));
  }
  for (int round = 0; round < 2; ++round) {
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const std::string prefix = i % 2 == 0 ? "Received: by us\r\n" : "";
      EXPECT_TRUE(read_back(ids[i]) == prefix + sizes[i / 2]) << i << " in round " << round;
    }
    EXPECT_EQ(store_->message_count(), ids.size());
    open();  // the second round reads what a new start finds
  }
}

TEST_F(Basic, ContentCanBeReadBeforeItIsSubmitted) {
  const std::string text = random_text(300'000, 4);
  NewMessage message = new_message("p", text);
  for (const std::size_t at : {std::size_t{0}, std::size_t{65'000}, std::size_t{299'000}}) {
    std::vector<char> into(1000);
    ASSERT_TRUE(message.content->read(at, into));
    EXPECT_EQ(std::string(into.begin(), into.end()), text.substr(at, 1000));
  }
  std::vector<char> into(1001);
  EXPECT_FALSE(message.content->read(299'000, into));
  EXPECT_EQ(message.content->size(), text.size());
}

TEST_F(Basic, ContentThatIsDroppedLeavesNoFile) {
  { const NewMessage message = new_message("p", random_text(300'000, 5)); }
  EXPECT_EQ(segment_files(), 0U);
}

TEST_F(Basic, NoContentIsAnEmptyMessage) {
  NewMessage message = new_message("", "");
  message.content.reset();
  const base::Id id = message.message.id;
  ASSERT_EQ(submit(std::move(message)), Failure::kNone);
  EXPECT_EQ(read_back(id), "");
}

TEST_F(Basic, MetadataComesBack) {
  const base::Id id = submit_text("p", "content");
  const auto message = store_->find(id);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->tenant, "acme");
  EXPECT_EQ(message->envelope.recipients.size(), 2U);
  EXPECT_EQ(message->body.size(), 8U);
  const auto deliveries = store_->deliveries(id);
  ASSERT_EQ(deliveries.size(), 1U);
  EXPECT_EQ(deliveries[0].id, id);
  EXPECT_EQ(deliveries[0].destination, "smarthost:acme.example");
  ASSERT_EQ(deliveries[0].recipients.size(), 2U);
  EXPECT_EQ(deliveries[0].recipients[1].index, 1U);
  EXPECT_EQ(deliveries[0].recipients[1].state, RecipientState::kPending);
  EXPECT_FALSE(store_->find(ids_.next()));
  EXPECT_FALSE(store_->delivery(id, 1));
  EXPECT_TRUE(store_->deliveries(ids_.next()).empty());
}

TEST_F(Basic, RefusesWhatIsNoNewMessage) {
  NewMessage nowhere = new_message("p", "c");
  nowhere.deliveries.clear();
  EXPECT_EQ(submit(std::move(nowhere)), Failure::kNotFound);
  const base::Id id = submit_text("p", "c");
  NewMessage again = new_message("p", "other");
  again.message.id = id;
  EXPECT_EQ(submit(std::move(again)), Failure::kFailed);
  EXPECT_EQ(read_back(id), "pc");
  EXPECT_EQ(store_->health().failure, Failure::kNone);
  EXPECT_EQ(store_->message_count(), 1U);
}

TEST_F(Basic, UpdatesChangeWhatTheyName) {
  const base::Id id = submit_text("p", "c");
  DeliveryUpdate change;
  change.id = id;
  change.recipients = {{1, RecipientState::kDelivered, "250 ok"}, {9, RecipientState::kFailed, ""}};
  change.attempts = 1;
  change.next_attempt_ms = 5000;
  change.last_reply = std::string(5000, 'x');
  ASSERT_EQ(update(std::move(change)), Failure::kNone);
  auto delivery = store_->delivery(id, 0);
  ASSERT_TRUE(delivery);
  EXPECT_EQ(delivery->attempts, 1U);
  EXPECT_EQ(delivery->next_attempt_ms, 5000);
  EXPECT_EQ(delivery->last_reply.size(), 2048U);
  ASSERT_EQ(delivery->recipients.size(), 2U);
  EXPECT_EQ(delivery->recipients[0].state, RecipientState::kPending);
  EXPECT_EQ(delivery->recipients[1].state, RecipientState::kDelivered);
  EXPECT_EQ(delivery->recipients[1].last_reply, "250 ok");
  ASSERT_EQ(all_due().size(), 1U);
  EXPECT_EQ(all_due()[0].due_ms, 5000);

  DeliveryUpdate back;  // and a recipient's state can be taken back
  back.id = id;
  back.recipients = {{1, RecipientState::kPending, ""}};
  ASSERT_EQ(update(std::move(back)), Failure::kNone);
  EXPECT_EQ(store_->delivery(id, 0)->recipients[1].state, RecipientState::kPending);

  DeliveryUpdate unknown;
  unknown.id = id;
  unknown.index = 7;
  EXPECT_EQ(update(std::move(unknown)), Failure::kNotFound);
}

TEST_F(Basic, TheMessageGoesWithItsLastDelivery) {
  NewMessage message = new_message("p", random_text(100'000, 6));
  message.deliveries.push_back(delivery_to("smarthost:other.example", 10, {1}));
  const base::Id id = message.message.id;
  ASSERT_EQ(submit(std::move(message)), Failure::kNone);
  EXPECT_EQ(segment_files(), 2U);
  ASSERT_EQ(finish(id, 1), Failure::kNone);
  EXPECT_TRUE(store_->find(id));
  EXPECT_EQ(finish(id, 1), Failure::kNotFound);
  const auto reader = store_->open_content(*store_->find(id));
  ASSERT_EQ(finish(id, 0), Failure::kNone);
  EXPECT_FALSE(store_->find(id));
  EXPECT_EQ(store_->message_count(), 0U);
  ASSERT_EQ(finish(id, 0), Failure::kNotFound);
  EXPECT_TRUE(all_due().empty());
  EXPECT_EQ(segment_files(), 1U);  // the journal; the message's own has gone
  EXPECT_TRUE(all_due().empty());
  EXPECT_EQ(store_->list({}).total, 0U);
  std::vector<char> into(100'001);  // who was reading goes on reading
  EXPECT_EQ(*(*reader)->read(0, into), 100'001U);
}

TEST_F(Basic, ABounceComesWithTheUpdateOrNotAtAll) {
  const base::Id id = submit_text("p", "c");
  const auto with_bounce = [&](std::uint32_t index, const base::Id& bounce_id) {
    DeliveryUpdate change;
    change.id = id;
    change.index = index;
    change.finished = true;
    NewMessage bounce = new_message("", "bounce");
    bounce.message.id = bounce_id;
    bounce.message.kind = Kind::kBounce;
    bounce.message.related_id = id.str();
    change.also.push_back(std::move(bounce));
    return change;
  };
  const base::Id bounce_id = ids_.next();
  EXPECT_EQ(update(with_bounce(3, bounce_id)), Failure::kNotFound);
  EXPECT_FALSE(store_->find(bounce_id));
  EXPECT_EQ(update(with_bounce(0, id)), Failure::kFailed);  // the bounce's id is taken
  EXPECT_TRUE(store_->find(id));
  EXPECT_EQ(update(with_bounce(0, bounce_id)), Failure::kNone);
  EXPECT_FALSE(store_->find(id));
  ASSERT_TRUE(store_->find(bounce_id));
  EXPECT_EQ(store_->find(bounce_id)->related_id, id.str());
  EXPECT_EQ(read_back(bounce_id), "bounce");
  EXPECT_EQ(store_->message_count(), 1U);
}

TEST_F(Basic, DueIsInOrderAndPagesWithoutGaps) {
  std::vector<std::int64_t> times = {500, 100, 300, 100, 200, 100, 400};
  for (const std::int64_t due_ms : times) {
    NewMessage message = new_message("", "c");
    message.deliveries = {delivery_to("backend:acme", due_ms)};
    ASSERT_EQ(submit(std::move(message)), Failure::kNone);
  }
  std::vector<std::int64_t> seen;
  std::optional<Store::Due> after;
  for (;;) {
    const auto page = store_->due("backend:acme", after, 2);
    EXPECT_LE(page.rows.size(), 2U);
    for (const Store::Due& due : page.rows) seen.push_back(due.due_ms);
    if (page.complete) break;
    after = page.rows.back();
  }
  std::sort(times.begin(), times.end());
  EXPECT_EQ(seen, times);
}

TEST_F(Basic, EachDestinationHasItsOwnOrder) {
  // Names that start alike, that sort around the octet behind a prefix, that are cut alike.
  const std::string cut(450, 'x');
  const std::vector<std::string> names = {"a", "a\x01", "ab", "b", cut + "1", cut + "2", "z"};
  std::int64_t due_ms = 100;
  for (int round = 0; round < 3; ++round) {
    for (const std::string& name : names) {
      NewMessage message = new_message("", "c");
      message.deliveries = {delivery_to(name, due_ms++)};
      ASSERT_EQ(submit(std::move(message)), Failure::kNone);
    }
  }
  const auto found = store_->destinations();
  ASSERT_TRUE(found.ok());
  ASSERT_EQ(found->size(), names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    SCOPED_TRACE(names[i]);
    const auto is_it = [&](const Store::Destination& one) { return one.name == names[i]; };
    const auto at = std::find_if(found->begin(), found->end(), is_it);
    ASSERT_NE(at, found->end());
    EXPECT_EQ(at->first_due_ms, 100 + static_cast<std::int64_t>(i));
    std::vector<std::int64_t> seen;
    std::optional<Store::Due> after;
    for (bool more = true; more;) {
      const auto page = store_->due(names[i], after, 1);
      for (const Store::Due& due : page.rows) seen.push_back(due.due_ms);
      if (!page.rows.empty()) after = page.rows.back();
      more = !page.complete;
    }
    const auto first = at->first_due_ms;
    EXPECT_EQ(seen, (std::vector<std::int64_t>{first, first + 7, first + 14}));
  }
  EXPECT_EQ(store_->check(nullptr).damaged, 0U);
  EXPECT_TRUE(store_->due("nowhere", std::nullopt, 10).complete);
}

TEST_F(Basic, TheOperatorHoldsReleasesRetriesRemoves) {
  const base::Id id = submit_text("p", "c");
  const auto hold = [&] {
    return wait_for([&](Store::OnDone done) { store_->hold(id, "by anna", std::move(done)); });
  };
  const auto release = [&] {
    return wait_for([&](Store::OnDone done) { store_->release(id, std::move(done)); });
  };
  const auto retry = [&] {
    return wait_for([&](Store::OnDone done) { store_->retry(id, std::move(done)); });
  };
  ASSERT_EQ(hold(), Failure::kNone);
  EXPECT_EQ(store_->delivery(id, 0)->state, State::kHeld);
  EXPECT_EQ(store_->delivery(id, 0)->last_reply, "by anna");
  EXPECT_TRUE(all_due().empty());

  DeliveryUpdate attempt;  // one that was under way
  attempt.id = id;
  attempt.attempts = 1;
  attempt.next_attempt_ms = 77;
  ASSERT_EQ(update(std::move(attempt)), Failure::kNone);
  EXPECT_EQ(store_->delivery(id, 0)->state, State::kHeld);
  EXPECT_TRUE(all_due().empty());

  ASSERT_EQ(release(), Failure::kNone);
  ASSERT_EQ(all_due().size(), 1U);
  EXPECT_EQ(all_due()[0].due_ms, clock_.wall_ms());
  clock_.advance_ms(1000);
  ASSERT_EQ(release(), Failure::kNone);  // what waits keeps its time
  EXPECT_EQ(all_due()[0].due_ms, clock_.wall_ms() - 1000);
  ASSERT_EQ(retry(), Failure::kNone);
  EXPECT_EQ(all_due()[0].due_ms, clock_.wall_ms());
  ASSERT_EQ(all_due().size(), 1U);

  const auto remove = [&] {
    return wait_for([&](Store::OnDone done) { store_->remove(id, std::move(done)); });
  };
  ASSERT_EQ(remove(), Failure::kNone);
  EXPECT_FALSE(store_->find(id));
  EXPECT_TRUE(all_due().empty());
  EXPECT_EQ(remove(), Failure::kNotFound);
  EXPECT_EQ(hold(), Failure::kNotFound);
}

TEST_F(Basic, TellsOfWhatIsWaiting) {
  std::mutex mutex;
  std::vector<std::string> told;
  store_->on_waiting([&](const Store::Waiting& w) {
    const std::lock_guard lock(mutex);
    told.push_back(w.destination + " " + std::to_string(w.index) + " " + std::to_string(w.due_ms) +
                   (w.ordered ? " ordered" : ""));
  });
  NewMessage message = new_message("", "c");
  message.deliveries = {delivery_to("backend:acme", 5), delivery_to("backend:other", 6)};
  message.deliveries[1].state = State::kHeld;
  const base::Id id = message.message.id;
  ASSERT_EQ(submit(std::move(message)), Failure::kNone);
  DeliveryUpdate later;
  later.id = id;
  later.next_attempt_ms = 99;
  ASSERT_EQ(update(std::move(later)), Failure::kNone);
  ASSERT_EQ(wait_for([&](Store::OnDone done) { store_->release(id, std::move(done)); }),
            Failure::kNone);
  store_.reset();
  const std::vector<std::string> expected = {
      "backend:acme 0 5", "backend:acme 0 99",
      "backend:other 1 " + std::to_string(clock_.wall_ms()) + " ordered"};
  EXPECT_EQ(told, expected);
}

TEST_F(Basic, ListsWithFilters) {
  std::vector<base::Id> ids;
  for (int i = 0; i < 10; ++i) {
    NewMessage message = new_message("", "c");
    message.message.tenant = i % 2 == 0 ? "acme" : "other";
    message.message.domain = i < 5 ? "a.example" : "b.example";
    message.deliveries = {delivery_to(i < 3 ? "backend:x" : "backend:xy", i)};
    if (i == 9) message.deliveries[0].state = State::kHeld;
    ids.push_back(message.message.id);
    ASSERT_EQ(submit(std::move(message)), Failure::kNone);
  }
  const auto total = [&](const Filter& filter) { return store_->list(filter).total; };
  EXPECT_EQ(total({}), 10U);
  Filter few;
  few.rows_max = 3;
  const Listing first = store_->list(few);
  EXPECT_EQ(first.total, 10U);
  ASSERT_EQ(first.rows.size(), 3U);
  EXPECT_EQ(first.rows[0].message.id, ids[0]);
  Filter filter;
  filter.tenant = "acme";
  EXPECT_EQ(total(filter), 5U);
  filter.domain = "b.example";
  EXPECT_EQ(total(filter), 2U);
  filter = {};
  filter.destination = "backend:x";
  EXPECT_EQ(total(filter), 3U);
  EXPECT_EQ(store_->list(filter).rows.size(), 3U);
  filter.tenant = "other";
  filter.rows_max = 0;
  EXPECT_EQ(total(filter), 1U);
  filter = {};
  filter.state = State::kHeld;
  EXPECT_EQ(total(filter), 1U);
  filter = {};
  filter.id = ids[4];
  ASSERT_EQ(store_->list(filter).rows.size(), 1U);
  EXPECT_EQ(store_->list(filter).rows[0].delivery.destination, "backend:xy");
  filter.destination = "backend:x";
  EXPECT_EQ(total(filter), 0U);
}

TEST_F(Basic, SharedSegmentsAreClosedAndRemoved) {
  limits_.segment_size = 100'000;
  open();
  std::vector<base::Id> ids;
  for (std::uint32_t i = 0; i < 30; ++i) ids.push_back(submit_text("p", random_text(20'000, i)));
  EXPECT_GE(segment_files(), 5U);
  for (std::uint32_t i = 0; i < 30; ++i) {
    EXPECT_TRUE(read_back(ids[i]) == "p" + random_text(20'000, i));
  }
  for (const base::Id& id : ids) ASSERT_EQ(finish(id), Failure::kNone);
  EXPECT_TRUE(all_due().empty());
  EXPECT_LE(segment_files(), 1U);  // the one in use may stay
  const base::Id id = submit_text("p", "after");
  EXPECT_EQ(read_back(id), "pafter");
  ASSERT_EQ(finish(id), Failure::kNone);
  open();
  EXPECT_EQ(segment_files(), 0U);
}

// A moment, and no longer, whether it comes or not.
TEST_F(Basic, ACommitWaitsForWhatIsExpected) {
  submit_text("p", "first");
  const auto expected = store_->expect();
  const auto begin = std::chrono::steady_clock::now();
  submit_text("p", "second");
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::microseconds(250));
}

TEST_F(Basic, EverythingSubmittedIsAnsweredWhenItCloses) {
  std::atomic<int> answered = 0;
  for (int i = 0; i < 500; ++i) {
    store_->submit(new_message("p", "c"), [&](Failure failure) {
      if (failure == Failure::kNone) ++answered;
    });
  }
  store_.reset();
  EXPECT_EQ(answered, 500);
  open();
  EXPECT_EQ(store_->message_count(), 500U);
}

TEST_F(Basic, ContentMayOutliveTheStore) {
  auto content = store_->begin_content();
  ASSERT_EQ(content->append(random_text(300'000, 1)), Failure::kNone);
  store_.reset();
  EXPECT_EQ(content->append(random_text(300'000, 2)), Failure::kNone);
  content.reset();
  EXPECT_EQ(segment_files(), 0U);
}

TEST_F(Basic, PendingOctetsMakeItBusy) {
  limits_.pending_octets = 50'000;
  open();
  auto content = store_->begin_content();
  ASSERT_EQ(content->append(std::string(49'000, 'x')), Failure::kNone);
  EXPECT_EQ(store_->health().failure, Failure::kNone);
  auto other = store_->begin_content();
  ASSERT_EQ(other->append(std::string(2'000, 'x')), Failure::kNone);
  EXPECT_EQ(store_->health().failure, Failure::kBusy);
  // What goes on coming goes to disk instead of to memory.
  ASSERT_EQ(other->append(std::string(1'000'000, 'x')), Failure::kNone);
  EXPECT_EQ(segment_files(), 1U);
  content.reset();
  other.reset();
  EXPECT_EQ(store_->health().failure, Failure::kNone);
}

TEST_F(Basic, ASecondProcessIsRefused) {
  const auto second = try_open();
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.message().find("process " + std::to_string(getpid())), std::string::npos)
      << second.message();
  const pid_t child = fork();
  if (child == 0) _exit(try_open().ok() ? 1 : 0);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  open();  // closing gives it free
}

TEST_F(Basic, ThreadsSubmitAndFinishInParallel) {
  constexpr int kThreads = 4;
  constexpr int kEach = 150;
  std::mutex mutex;
  std::vector<std::pair<base::Id, std::string>> kept;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        const auto seed = static_cast<std::uint32_t>(t * kEach + i);
        const std::string text = random_text(seed % 20 == 0 ? 200'000 : seed % 3000, seed);
        const base::Id id = submit_text("p", text);
        if (i % 2 == 0) {
          EXPECT_EQ(finish(id), Failure::kNone);
        } else {
          EXPECT_TRUE(read_back(id) == "p" + text);
          const std::lock_guard lock(mutex);
          kept.emplace_back(id, text);
        }
        if (i % 10 == 0) {
          (void)store_->list({});
          (void)store_->destinations();
          (void)store_->due("smarthost:acme.example", std::nullopt, 100);
          (void)store_->health();
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(store_->message_count(), kept.size());
  open();
  for (const auto& [id, text] : kept) EXPECT_TRUE(read_back(id) == "p" + text);
}

// For information only: how many messages a second are on disk and answered.
TEST_F(Basic, CommitRate) {
  constexpr int kMessages = 5000;
  std::atomic<int> done = 0;
  const std::string content = random_text(4096, 1);
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < kMessages; ++i) {
    NewMessage message;
    message.message = message_of(ids_.next());
    message.content = store_->begin_content();
    (void)message.content->append(content);
    message.deliveries.push_back(delivery_to("smarthost:acme.example", i));
    store_->submit(std::move(message), [&](Failure failure) { done += failure == Failure::kNone; });
  }
  store_.reset();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  EXPECT_EQ(done, kMessages);
  printf("%.0f messages of 4 KiB a second, in %lld group commits\n", kMessages / took.count(),
         static_cast<long long>(metrics_.counter("relayd_queue_commits_total", "").value()));
}

}  // namespace
}  // namespace queue
