// Every call that changes something on disk fails, the first, the second, and so on, until a run
// passes without a fault: once, and from then on for good. Segments are torn at every octet; the
// clock steps.
//
// In turn are submissions small and large, deliveries recorded, bounces, every order of the
// operator, survivors copied forward, segments removed, and recovery. The store renames nothing,
// and its map never grows while it is open: it is as large as limits.queue_map_size from the start,
// and what growth would be is the kind MDB_MAP_FULL here.
//
// Every N is tried with EIO; with the two kinds of no room every third, or all with
// RELAYD_ALL_FAULTS (scripts/test --soak).
#include <lmdb.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <thread>

#include "queue/codec.h"
#include "queue/environment.h"
#include "queue/support.h"

namespace queue {
namespace {

namespace fs = std::filesystem;

// What the callers were told, to be compared with what a new start finds.
struct Promises {
  std::map<base::Id, std::string> kept;        // answered kNone: there, with these bytes
  std::set<base::Id> finished;                 // answered kNone: gone
  std::map<base::Id, std::string> open;        // a failure: there as a whole or not at all
  std::map<base::Id, std::uint64_t> segments;  // where it was put
  std::map<base::Id, State> states;            // of what is kept: what the last order made of it
};

class Injection : public StoreTest {
 protected:
  Injection() {
    limits_.segment_size = 16 * base::kKiB;
    limits_.queue_map_size = 16 * base::kMiB;
    limits_.checkpoint_interval = 1;  // checkpoints are among what fails
    limits_.body_memory = 16 * base::kKiB;
    fault_ = [this](FileCall call) {
      const int left = armed_ ? --countdown_ : 1;
      if (left > 0 || (left < 0 && !goes_on_)) return 0;
      if (left == 0) failed_call_ = static_cast<int>(call);
      return code_.load();
    };
  }

  // From here on the Nth call fails with `code`, and with `goes_on` all that follow it.
  void arm(int n, int code, bool goes_on) {
    failed_call_ = -1;
    code_ = code;
    goes_on_ = goes_on;
    countdown_ = n;
    armed_ = true;
  }
  void disarm() { armed_ = false; }
  static int stride(int code) {
    return code == EIO || std::getenv("RELAYD_ALL_FAULTS") != nullptr ? 1 : 3;
  }
  // Where a sync costs nothing: what is tested is which calls there are, not the disk.
  [[nodiscard]] std::string queue_directory() const override {
    return (in_memory_ ? *in_memory_ : directory_.path()) + "/queue";
  }
  void go_to_memory() {
    std::string pattern = "/dev/shm/queue-test-XXXXXX";
    if (const char* made = mkdtemp(pattern.data())) in_memory_ = made;
  }
  void TearDown() override {
    store_.reset();
    std::error_code ignored;
    if (in_memory_) fs::remove_all(*in_memory_, ignored);
  }

  void put(std::uint32_t seed, std::size_t octets, Promises& promises) {
    NewMessage message;
    message.message = message_of(ids_.next());
    message.prefix = "p";
    message.content = store_->begin_content();
    const std::string text = random_text(octets, seed);
    (void)message.content->append(text);
    message.deliveries.push_back(delivery_to("backend:acme", 1));
    const base::Id id = message.message.id;
    auto& where = submit(std::move(message)) == Failure::kNone ? promises.kept : promises.open;
    where[id] = "p" + text;
    if (const auto stored = store_->find(id)) promises.segments[id] = stored->body.segment;
  }
  void take_out(const base::Id& id, Promises& promises) {
    auto node = promises.kept.extract(id);
    if (finish(id) == Failure::kNone) {
      promises.finished.insert(id);
    } else {
      promises.open.insert(std::move(node));
    }
  }
  // Small and large messages come and go, with a bounce, until a segment is mostly dead.
  void live(Promises& promises) {
    for (std::uint32_t i = 0; i < 16; ++i) put(i, i % 5 == 4 ? 20'000 : 6'000, promises);
    std::vector<base::Id> there;
    for (const auto& [id, text] : promises.kept) there.push_back(id);
    for (std::size_t i = 0; i < there.size(); ++i) {
      if (i % 8 != 0) take_out(there[i], promises);
    }
    if (!promises.kept.empty()) bounce(promises.kept.begin()->first, promises);
    give_orders(promises);
    // The copies that follow are part of the run.
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    put(99, 100, promises);
  }
  // Each order at least once, over what is there; in turn, so that holds meet releases.
  void give_orders(Promises& promises) {
    using Order = Store::Order;
    std::vector<base::Id> there;
    for (const auto& [id, text] : promises.kept) there.push_back(id);
    int turn = 0;
    for (const base::Id& id : there) {
      for (const Order order : {Order::kHold, Order::kRelease, Order::kRetry, Order::kHold}) {
        const Failure failure = wait_for([&](Store::OnDone done) {
          store_->order(order, {id, 0}, "by the test", std::move(done));
        });
        if (failure == Failure::kNone) {
          promises.states[id] = order == Order::kHold ? State::kHeld : State::kWaiting;
        } else {
          promises.states.erase(id);  // either
        }
        if (++turn % 3 == 0) break;
      }
    }
    if (there.empty()) return;
    const base::Id last = there.back();
    auto node = promises.kept.extract(last);
    promises.states.erase(last);
    const Failure failure =
        wait_for([&](Store::OnDone done) { store_->remove(last, std::move(done)); });
    if (failure == Failure::kNone) {
      promises.finished.insert(last);
    } else {
      promises.open.insert(std::move(node));
    }
  }
  void bounce(const base::Id& id, Promises& promises) {
    DeliveryUpdate change;
    change.id = id;
    change.finished = true;
    NewMessage report;
    report.message = message_of(ids_.next());
    report.content = store_->begin_content();
    (void)report.content->append("bounce");  // kFailed where the store is, and update() says so too
    report.deliveries.push_back(delivery_to("backend:acme", 1));
    const base::Id report_id = report.message.id;
    change.also.push_back(std::move(report));
    auto node = promises.kept.extract(id);
    if (update(std::move(change)) == Failure::kNone) {
      promises.finished.insert(id);
      promises.kept[report_id] = "bounce";
    } else {
      promises.open.insert(std::move(node));
      promises.open[report_id] = "bounce";
    }
  }
  void compare(const Promises& promises) {
    std::uint64_t there = promises.kept.size();
    for (const auto& [id, text] : promises.kept) {
      ASSERT_TRUE(read_back(id) == text) << "lost: " << read_back(id).substr(0, 200);
    }
    for (const auto& [id, segment] : promises.segments) {
      const auto stored = store_->find(id);
      if (stored && stored->body.segment != segment) ++moved_;
    }
    for (const auto& [id, state] : promises.states) {
      ASSERT_EQ(store_->delivery(id, 0)->state, state) << "the order is lost";
    }
    for (const base::Id& id : promises.finished) ASSERT_FALSE(store_->find(id)) << "came back";
    for (const auto& [id, text] : promises.open) {
      const bool found = store_->find(id) != nullptr;
      ASSERT_EQ(found, !store_->deliveries(id).empty()) << "half there";
      if (!found) continue;
      ++there;
      ASSERT_TRUE(read_back(id) == text) << "half there: " << read_back(id).substr(0, 200);
    }
    EXPECT_EQ(store_->message_count(), there);
    const CheckReport report = store_->check(nullptr);
    ASSERT_EQ(report.damaged, 0U) << report.findings[0].what << " " << report.findings[0].id << " "
                                  << report.findings[0].problem;
  }

  std::atomic<bool> armed_ = false;
  std::atomic<int> countdown_ = 0;
  std::atomic<bool> goes_on_ = false;
  std::atomic<int> code_ = 0;
  std::optional<std::string> in_memory_;
  int moved_ = 0;  // messages that were copied forward, over all runs
  std::atomic<int> failed_call_ = -1;
};

class WhateverFails : public Injection, public testing::WithParamInterface<bool> {};

TEST_P(WhateverFails, WhatWasAnsweredIsThere) {
  go_to_memory();
  std::map<int, int> by_call;
  int runs = 0;
  for (const int code : {EIO, ENOSPC, static_cast<int>(MDB_MAP_FULL)}) {
    for (int n = 1;; n += stride(code)) {
      ASSERT_LT(n, 5000) << "it never passes";
      std::error_code ignored;
      store_.reset();
      fs::remove_all(queue_directory(), ignored);
      arm(n, code, GetParam());
      Promises promises;
      auto opened = try_open();
      if (opened) {
        store_ = opened.take();
        live(promises);
        store_.reset();
      }
      disarm();
      const int failed = failed_call_;
      open();
      SCOPED_TRACE("call " + std::to_string(n) + " of kind " + std::to_string(failed) + " failed " +
                   "with " + std::to_string(code));
      compare(promises);
      ASSERT_FALSE(HasFatalFailure());
      ++runs;
      if (failed < 0) break;  // a run without a fault
      ++by_call[failed];
    }
  }
  printf(
      "%s: %d N tried; failed: %d writes, %d syncs, %d commits, %d table changes, %d creations, "
      "%d removals, %d renames; %d messages copied forward meanwhile\n",
      GetParam() ? "from then on" : "once", runs, by_call[0], by_call[1], by_call[2], by_call[3],
      by_call[4], by_call[5], by_call[static_cast<int>(FileCall::kRename)], moved_);
  EXPECT_GT(moved_, 0);
  for (const FileCall call : {FileCall::kWrite, FileCall::kSync, FileCall::kCommit, FileCall::kMap,
                              FileCall::kCreate, FileCall::kRemove, FileCall::kRename}) {
    EXPECT_GT(by_call[static_cast<int>(call)], 0) << static_cast<int>(call);
  }
}

INSTANTIATE_TEST_SUITE_P(Injection, WhateverFails, testing::Bool(),
                         [](const auto& one) { return one.param ? "FromThenOn" : "Once"; });

// The same over a start that has something to mend: torn tails to cut, orphans to remove.
class RecoveryFails : public WhateverFails {};

TEST_P(RecoveryFails, NothingIsLost) {
  go_to_memory();
  const fs::path saved = directory_.path() + "/saved";
  Promises promises;
  open();
  for (std::uint32_t i = 0; i < 6; ++i) put(i, 6'000, promises);
  store_.reset();
  for (const auto& file : fs::directory_iterator(queue_directory() + "/segments")) {
    std::ofstream(file.path(), std::ios::app) << random_text(5000, 1);
  }
  std::ofstream(queue_directory() + "/segments/00000000000000aa") << "half a header";
  {
    const auto environment = Environment::open(queue_directory(), 16 * base::kMiB);
    ASSERT_TRUE(environment.ok());
    Draft draft;  // a segment that is not there
    draft.put(Table::kSegment, segment_key(77), encode_segment({1, 1}));
    Txn txn(**environment, Txn::Mode::kWrite);
    txn.write(draft);
    ASSERT_EQ(txn.commit(), 0);
  }
  fs::copy(queue_directory(), saved, fs::copy_options::recursive);
  std::set<int> calls;
  int runs = 0;
  for (const int code : {EIO, ENOSPC, static_cast<int>(MDB_MAP_FULL)}) {
    for (int n = 1; n < 1000; ++n) {
      fs::remove_all(queue_directory());
      fs::copy(saved, queue_directory(), fs::copy_options::recursive);
      arm(n, code, GetParam());
      auto opened = try_open();
      store_ = opened ? opened.take() : nullptr;
      store_.reset();
      disarm();
      open();
      SCOPED_TRACE("call " + std::to_string(n) + " with " + std::to_string(code));
      compare(promises);
      ASSERT_FALSE(HasFatalFailure());
      store_.reset();
      ++runs;
      if (failed_call_ < 0) break;
      calls.insert(failed_call_);
    }
  }
  printf("recovery: %d N tried\n", runs);
  EXPECT_TRUE(calls.contains(static_cast<int>(FileCall::kCut)));
  EXPECT_TRUE(calls.contains(static_cast<int>(FileCall::kRemove)));
  EXPECT_TRUE(calls.contains(static_cast<int>(FileCall::kCommit)));
}

INSTANTIATE_TEST_SUITE_P(Injection, RecoveryFails, testing::Bool(),
                         [](const auto& one) { return one.param ? "FromThenOn" : "Once"; });

class Torn : public Injection {
 protected:
  // Two messages in one segment; where the second one's bytes begin and end.
  void prepare() {
    open();
    first_ = submit_text("prefix", random_text(200, 1));
    second_ = submit_text("prefix", random_text(100, 2));
    const BodyRef body = store_->find(second_)->body;
    begin_ = body.prefix_offset;
    end_ = body.content_offset + body.content_size;
    const BodyRef first = store_->find(first_)->body;
    first_begin_ = first.prefix_offset;
    first_end_ = first.content_offset + first.content_size;
    store_.reset();
    segment_ = fs::directory_iterator(queue_directory() + "/segments")->path();
    std::ifstream in(segment_, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(in), {});
    ASSERT_GT(bytes_.size(), end_);  // the journal's changes are behind it
  }
  void write_segment(std::string_view bytes) const {
    std::ofstream(segment_, std::ios::binary | std::ios::trunc) << bytes;
  }

  base::Id first_, second_;
  std::uint64_t first_begin_ = 0, first_end_ = 0;
  std::uint64_t begin_ = 0, end_ = 0;
  fs::path segment_;
  std::string bytes_;
};

TEST_F(Torn, ASegmentCutAnywhereInItsLastMessageHoldsThatOneOnly) {
  prepare();
  const fs::path saved = directory_.path() + "/saved";
  fs::copy(queue_directory(), saved, fs::copy_options::recursive);
  for (std::uint64_t size = begin_; size < end_; ++size) {
    fs::remove_all(queue_directory());
    fs::copy(saved, queue_directory(), fs::copy_options::recursive);
    write_segment(std::string_view(bytes_).substr(0, size));
    open();
    ASSERT_TRUE(read_back(first_) == "prefix" + random_text(200, 1)) << size;
    ASSERT_NE(read_back(second_).find("too short"), std::string::npos) << size;
    ASSERT_EQ(store_->delivery(first_, 0)->state, State::kWaiting);
    ASSERT_EQ(store_->delivery(second_, 0)->state, State::kHeld);
    const CheckReport report = store_->check(nullptr);
    ASSERT_EQ(report.damaged, 1U) << size;
    ASSERT_EQ(report.findings[0].id, second_.str());
    store_.reset();
  }
}

TEST_F(Torn, AFlippedBitIsNeverAWrongMessage) {
  prepare();
  int refused = 0;
  int messages = 0;  // octets of theirs
  for (std::uint64_t at = 0; at < end_; ++at) {
    std::string bytes = bytes_;
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << (at % 8)));
    write_segment(bytes);
    open();
    const bool in_header = at < begin_ && at < 64;
    for (const auto& [id, text] : {std::pair{first_, "prefix" + random_text(200, 1)},
                                   std::pair{second_, "prefix" + random_text(100, 2)}}) {
      const std::string read = read_back(id);
      const bool is_error = read.find("damaged") != std::string::npos;
      ASSERT_TRUE(read == text || is_error) << at << ": " << read.substr(0, 100);
      refused += is_error;
    }
    const bool in_message = (at >= first_begin_ && at < first_end_) || (at >= begin_ && at < end_);
    messages += in_message;
    ASSERT_EQ(store_->check(nullptr).damaged, in_header ? 2U : in_message ? 1U : 0U) << at;
    store_.reset();
    if (in_header) {  // recovery held both: as they were, for the next octet
      write_segment(bytes_);
      open();
      for (const base::Id& id : {first_, second_}) {
        wait_for([&](Store::OnDone done) { store_->release(id, std::move(done)); });
      }
      store_.reset();
    }
  }
  EXPECT_EQ(refused, messages + 2 * 64);
}

TEST_F(StoreTest, TheClockStepsAndIdsStayUniqueAndDueTimesSane) {
  open();
  std::set<base::Id> seen;
  const std::int64_t start_ms = clock_.wall_ms();
  constexpr std::int64_t kYear = 365 * base::kDay;
  for (const std::int64_t step_ms : {std::int64_t{0}, -base::kDay, kYear, -2 * kYear, -start_ms,
                                     -start_ms - 5, 50 * kYear, std::int64_t{0}}) {
    clock_.set_wall_ms(start_ms + step_ms);
    for (int i = 0; i < 20; ++i) {
      const base::Id id = submit_text("p", "c");
      ASSERT_TRUE(seen.insert(id).second) << step_ms;
      ASSERT_EQ(wait_for([&](Store::OnDone done) { store_->retry(id, std::move(done)); }),
                Failure::kNone);
      ASSERT_EQ(store_->delivery(id, 0)->next_attempt_ms, clock_.wall_ms());
    }
    open();
  }
  // All of them are found, in order of time; what was due before 1970 is due first.
  std::vector<Store::Due> due = all_due();
  ASSERT_EQ(due.size(), seen.size());
  for (std::size_t i = 1; i < due.size(); ++i) EXPECT_LE(due[i - 1].due_ms, due[i].due_ms);
  EXPECT_EQ(due.front().due_ms, 0);
  EXPECT_EQ(store_->check(nullptr).damaged, 0U);
  for (const base::Id& id : seen) ASSERT_EQ(finish(id), Failure::kNone);
  EXPECT_TRUE(all_due().empty());
}

}  // namespace
}  // namespace queue
