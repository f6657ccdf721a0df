// Every call that changes something on disk fails once, the first, the second, and so on, until a
// run passes without a fault; segments are torn at every octet; the clock steps.
#include <lmdb.h>

#include <atomic>
#include <cerrno>
#include <fstream>
#include <map>
#include <set>
#include <thread>

#include "queue/support.h"

namespace queue {
namespace {

namespace fs = std::filesystem;

// What the callers were told, to be compared with what a new start finds.
struct Promises {
  std::map<base::Id, std::string> kept;  // answered kNone: there, with these bytes
  std::set<base::Id> finished;           // answered kNone: gone
  std::map<base::Id, std::string> open;  // a failure: there as a whole or not at all
};

class Injection : public StoreTest {
 protected:
  Injection() {
    limits_.segment_size = 64 * base::kKiB;
    limits_.queue_map_size = 16 * base::kMiB;
    limits_.body_memory = 16 * base::kKiB;
    fault_ = [this](FileCall call) {
      if (countdown_ <= 0 || --countdown_ != 0) return 0;
      failed_call_ = static_cast<int>(call);
      return code_.load();
    };
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
    // The copies that follow are part of the run.
    std::this_thread::sleep_for(std::chrono::milliseconds(15));
    put(99, 100, promises);
  }
  void bounce(const base::Id& id, Promises& promises) {
    DeliveryUpdate change;
    change.id = id;
    change.finished = true;
    NewMessage report;  // not by new_message(): the store may have failed by now
    report.message = message_of(ids_.next());
    report.content = store_->begin_content();
    (void)report.content->append("bounce");
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
    for (const base::Id& id : promises.finished) ASSERT_FALSE(store_->find(id)) << "came back";
    for (const auto& [id, text] : promises.open) {
      const bool found = store_->find(id).has_value();
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

  std::atomic<int> countdown_ = 0;  // 0: no fault
  std::atomic<int> code_ = 0;
  std::atomic<int> failed_call_ = -1;
};

TEST_F(Injection, WhateverFailsOnceWhatWasAnsweredIsThere) {
  std::map<int, int> by_call;
  int runs = 0;
  for (const int code : {EIO, ENOSPC, static_cast<int>(MDB_MAP_FULL)}) {
    for (int n = 1;; ++n) {
      ASSERT_LT(n, 5000) << "it never passes";
      std::error_code ignored;
      store_.reset();
      fs::remove_all(queue_directory(), ignored);
      failed_call_ = -1;
      code_ = code;
      countdown_ = n;
      Promises promises;
      auto opened = try_open();
      if (opened) {
        store_ = opened.take();
        live(promises);
        store_.reset();
      }
      const int failed = failed_call_;
      countdown_ = 0;
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
      "%d runs; failed: %d writes, %d syncs, %d commits, %d table changes, %d creations, "
      "%d removals, %d cuts\n",
      runs, by_call[0], by_call[1], by_call[2], by_call[3], by_call[4], by_call[5], by_call[6]);
  for (const FileCall call : {FileCall::kWrite, FileCall::kSync, FileCall::kCommit, FileCall::kMap,
                              FileCall::kCreate, FileCall::kRemove}) {
    EXPECT_GT(by_call[static_cast<int>(call)], 0) << static_cast<int>(call);
  }
}

// The same over a start that has something to mend: torn tails to cut, orphans to remove.
TEST_F(Injection, WhateverFailsDuringRecoveryNothingIsLost) {
  const fs::path saved = directory_.path() + "/saved";
  Promises promises;
  open();
  for (std::uint32_t i = 0; i < 6; ++i) put(i, 6'000, promises);
  store_.reset();
  for (const auto& file : fs::directory_iterator(queue_directory() + "/segments")) {
    std::ofstream(file.path(), std::ios::app) << random_text(5000, 1);
  }
  std::ofstream(queue_directory() + "/segments/00000000000000aa") << "half a header";
  fs::copy(queue_directory(), saved, fs::copy_options::recursive);
  std::set<int> calls;
  for (int n = 1; n < 1000; ++n) {
    fs::remove_all(queue_directory());
    fs::copy(saved, queue_directory(), fs::copy_options::recursive);
    failed_call_ = -1;
    code_ = EIO;
    countdown_ = n;
    auto opened = try_open();
    store_ = opened ? opened.take() : nullptr;
    store_.reset();
    countdown_ = 0;
    open();
    SCOPED_TRACE("call " + std::to_string(n));
    compare(promises);
    ASSERT_FALSE(HasFatalFailure());
    store_.reset();
    if (failed_call_ < 0) break;
    calls.insert(failed_call_);
  }
  EXPECT_TRUE(calls.contains(static_cast<int>(FileCall::kCut)));
  EXPECT_TRUE(calls.contains(static_cast<int>(FileCall::kRemove)));
  EXPECT_TRUE(calls.contains(static_cast<int>(FileCall::kCommit)));
}

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
    store_.reset();
    segment_ = fs::directory_iterator(queue_directory() + "/segments")->path();
    std::ifstream in(segment_, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(in), {});
    ASSERT_EQ(bytes_.size(), end_);
  }
  void write_segment(std::string_view bytes) const {
    std::ofstream(segment_, std::ios::binary | std::ios::trunc) << bytes;
  }

  base::Id first_, second_;
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
    ASSERT_EQ(store_->check(nullptr).damaged, in_header ? 2U : 1U) << at;
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
  EXPECT_EQ(refused, static_cast<int>(end_ - 64) + 2 * 64);
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
  std::vector<Store::Due> due = store_->due(std::nullopt, 1000);
  ASSERT_EQ(due.size(), seen.size());
  for (std::size_t i = 1; i < due.size(); ++i) EXPECT_LE(due[i - 1].due_ms, due[i].due_ms);
  EXPECT_EQ(due.front().due_ms, 0);
  EXPECT_EQ(store_->check(nullptr).damaged, 0U);
  for (const base::Id& id : seen) ASSERT_EQ(finish(id), Failure::kNone);
  EXPECT_TRUE(store_->due(std::nullopt, 10).empty());
}

}  // namespace
}  // namespace queue
