// What is in the journal and not in the database: found again after a crash, as far as it is whole.
// A crash is a copy of the queue's directory while the store is open and no checkpoint has come.
#include <atomic>
#include <cerrno>
#include <fstream>
#include <map>
#include <set>

#include "queue/change_log.h"
#include "queue/content.h"
#include "queue/journal.h"
#include "queue/salvage.h"
#include "queue/support.h"

namespace queue {
namespace {

namespace fs = std::filesystem;

class Journal : public StoreTest {
 protected:
  Journal() {
    // Thousands of starts: where a sync costs nothing.
    std::string pattern = "/dev/shm/queue-test-XXXXXX";
    in_memory_ = mkdtemp(pattern.data()) != nullptr;
    root_ = in_memory_ ? pattern : directory_.path();
    limits_.checkpoint_interval = base::kHour;
    limits_.recent_octets = 0;
    fault_ = [this](FileCall call) {
      if (is_thin_ && (call == FileCall::kSync || call == FileCall::kCut)) return ENOSPC;
      if (--countdown_ != 0) return 0;
      failed_.insert(call);
      return code_;
    };
  }
  ~Journal() override {
    store_.reset();
    std::error_code ignored;
    if (in_memory_) fs::remove_all(root_, ignored);
  }
  [[nodiscard]] std::string queue_directory() const override {
    return root_ + "/" + (is_after_ ? "after" : "before");
  }
  // From here on the store is that of a copy, made now.
  void crash() {
    fs::copy(queue_directory(), root_ + "/saved", fs::copy_options::recursive);
    store_.reset();
    is_after_ = true;
    restore();
  }
  void restore() const {
    fs::remove_all(queue_directory());
    fs::copy(root_ + "/saved", queue_directory(), fs::copy_options::recursive);
  }
  [[nodiscard]] fs::path segment_file() const {
    return fs::directory_iterator(queue_directory() + "/segments")->path();
  }
  [[nodiscard]] std::string segment_bytes() const {
    std::ifstream in(segment_file(), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  // Where the last whole frame ends; behind it the page is filled up.
  [[nodiscard]] std::uint64_t journal_end() const {
    const std::string bytes = segment_bytes();
    const std::string uuid = bytes.substr(16, 16);  // of the header of the segment
    std::uint64_t end = kSegmentHeader;
    while (bytes.size() >= end + kFrameHead) {
      const auto head = decode_head(bytes.substr(end, kFrameHead), uuid, 1, end);
      if (!head) break;
      end += head->frame_size();
    }
    return end;
  }

  bool in_memory_ = false;
  std::string root_;
  bool is_after_ = false;
  std::atomic<bool> is_thin_ = false;  // nothing can be synced, nothing cut off
  int countdown_ = 0;
  int code_ = 0;
  std::set<FileCall> failed_;
};

TEST_F(Journal, EveryKindOfChangeIsFoundAgain) {
  open();
  const base::Id stays = submit_text("p", "stays");
  const base::Id large = submit_text("p", random_text(150'000, 1));
  const base::Id done = submit_text("p", "done");
  const base::Id held = submit_text("p", "held");
  const base::Id removed = submit_text("p", "removed");
  const base::Id later = submit_text("p", "later");
  ASSERT_EQ(finish(done), Failure::kNone);
  ASSERT_EQ(wait_for([&](auto answer) { store_->hold(held, "by hand", std::move(answer)); }),
            Failure::kNone);
  ASSERT_EQ(wait_for([&](auto answer) { store_->remove(removed, std::move(answer)); }),
            Failure::kNone);
  DeliveryUpdate change;
  change.id = later;
  change.attempts = 3;
  change.next_attempt_ms = 77'000;
  change.last_reply = "451 later";
  change.recipients = {{0, RecipientState::kDelivered, "250 ok"}};
  NewMessage report = new_message("", "report");
  const base::Id reported = report.message.id;
  change.also.push_back(std::move(report));
  ASSERT_EQ(update(std::move(change)), Failure::kNone);
  const auto compare = [&] {
    EXPECT_EQ(store_->message_count(), 5U);
    EXPECT_EQ(read_back(stays), "pstays");
    EXPECT_TRUE(read_back(large) == "p" + random_text(150'000, 1));
    EXPECT_EQ(read_back(reported), "report");
    EXPECT_EQ(read_back(held), "pheld");
    EXPECT_EQ(store_->delivery(held, 0)->state, State::kHeld);
    EXPECT_EQ(store_->delivery(held, 0)->last_reply, "by hand");
    EXPECT_FALSE(store_->find(done));
    EXPECT_FALSE(store_->find(removed));
    EXPECT_TRUE(store_->deliveries(removed).empty());
    const auto waiting = store_->delivery(later, 0);
    ASSERT_TRUE(waiting);
    EXPECT_EQ(waiting->attempts, 3U);
    EXPECT_EQ(waiting->next_attempt_ms, 77'000);
    EXPECT_EQ(waiting->recipients[0].state, RecipientState::kDelivered);
    EXPECT_EQ(waiting->recipients[1].state, RecipientState::kPending);
  };
  compare();  // before the database has any of it
  crash();
  open();
  compare();
  EXPECT_EQ(all_due().size(), 4U);
  EXPECT_EQ(store_->check(nullptr).damaged, 0U);
  EXPECT_GE(store_->trail(later).size(), 2U);
}

TEST_F(Journal, SalvageReadsIt) {
  open();
  const base::Id old = submit_text("p", "old");
  const base::Id gone = submit_text("p", "gone");
  (void)store_->list({});  // both are in the database
  ASSERT_EQ(finish(gone), Failure::kNone);
  ASSERT_EQ(wait_for([&](auto answer) { store_->hold(old, "by hand", std::move(answer)); }),
            Failure::kNone);
  const base::Id last = submit_text("p", "new");
  crash();
  std::map<base::Id, std::string> found;
  SalvageCalls calls;
  calls.skipped = [](const std::string& id, const std::string& why) {
    ADD_FAILURE() << id << ": " << why;
  };
  calls.message = [&](const Salvaged& salvaged) {
    std::string text(salvaged.content->size(), '\0');
    EXPECT_TRUE(salvaged.content->read(0, text).ok());
    found[salvaged.message.id] = text;
    EXPECT_EQ(salvaged.deliveries.size(), 1U);
    EXPECT_EQ(salvaged.deliveries[0].state,
              salvaged.message.id == old ? State::kHeld : State::kWaiting);
    return true;
  };
  ASSERT_TRUE(salvage(queue_directory(), calls).ok());
  EXPECT_EQ(found, (std::map<base::Id, std::string>{{old, "pold"}, {last, "pnew"}}));
}

TEST_F(Journal, ReadersSeeWhatWasAnsweredWithoutACheckpoint) {
  open();
  const base::Id id = submit_text("p", "text");
  EXPECT_EQ(all_due().size(), 1U);
  EXPECT_EQ(store_->list({}).total, 1U);
  EXPECT_EQ(store_->trail(id).size(), 1U);
  ASSERT_EQ(finish(id), Failure::kNone);
  EXPECT_TRUE(all_due().empty());
  EXPECT_EQ(store_->list({}).total, 0U);
  EXPECT_EQ(store_->trail(id).size(), 2U);
}

TEST_F(Journal, TornAnywhereItIsAsLongAsItIsWhole) {
  open();
  std::vector<std::pair<base::Id, std::uint64_t>> messages;  // and the end of its frame
  for (std::uint32_t i = 0; i < 3; ++i) {
    const base::Id id = submit_text("p", random_text(60, i));
    messages.emplace_back(id, journal_end());
  }
  crash();
  const std::string whole = segment_bytes().substr(0, messages.back().second);
  for (std::uint64_t size = kSegmentHeader; size <= whole.size(); ++size) {
    restore();
    std::ofstream(segment_file(), std::ios::binary | std::ios::trunc) << whole.substr(0, size);
    open();
    for (std::uint32_t i = 0; i < messages.size(); ++i) {
      const auto& [id, end] = messages[i];
      ASSERT_EQ(read_back(id), size < end ? "not found" : "p" + random_text(60, i)) << size;
    }
    ASSERT_EQ(store_->check(nullptr).damaged, 0U) << size;
    store_.reset();
  }
}

TEST_F(Journal, AFlippedBitEndsIt) {
  open();
  std::vector<std::pair<base::Id, std::uint64_t>> messages;
  for (std::uint32_t i = 0; i < 3; ++i) {
    const base::Id id = submit_text("p", random_text(60, i));
    messages.emplace_back(id, journal_end());
  }
  crash();
  const std::string whole = segment_bytes();
  for (std::uint64_t at = kSegmentHeader; at < messages.back().second; ++at) {
    restore();
    std::string bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << (at % 8)));
    std::ofstream(segment_file(), std::ios::binary | std::ios::trunc) << bytes;
    open();
    for (std::uint32_t i = 0; i < messages.size(); ++i) {
      const auto& [id, end] = messages[i];
      ASSERT_EQ(read_back(id), at < end ? "not found" : "p" + random_text(60, i)) << at;
    }
    ASSERT_EQ(store_->check(nullptr).damaged, 0U) << at;
    store_.reset();
  }
}

// A start with a journal, where every call that changes something fails in turn, and then the next
// start: what was answered is there.
TEST_F(Journal, IsNotLostWhereTheStartFails) {
  open();
  std::vector<base::Id> messages;
  for (std::uint32_t i = 0; i < 8; ++i) {
    messages.push_back(submit_text("p", random_text(i % 4 == 3 ? 100'000 : 500, i)));
  }
  const base::Id done = messages.front();
  ASSERT_EQ(finish(done), Failure::kNone);
  crash();
  for (const int code : {EIO, ENOSPC}) {
    for (int n = 1;; ++n) {
      restore();
      failed_.clear();
      code_ = code;
      countdown_ = n;
      auto opened = try_open();
      if (opened) {  // without room it opens, and has it all
        store_ = opened.take();
        for (std::uint32_t i = 1; i < messages.size(); ++i) {
          ASSERT_TRUE(read_back(messages[i]) == "p" + random_text(i % 4 == 3 ? 100'000 : 500, i));
        }
        (void)finish(messages.back());
        store_.reset();
      }
      countdown_ = 0;
      const bool was_faultless = failed_.empty();
      open();
      for (std::uint32_t i = 1; i + 1 < messages.size(); ++i) {
        ASSERT_TRUE(read_back(messages[i]) == "p" + random_text(i % 4 == 3 ? 100'000 : 500, i))
            << "call " << n << " code " << code;
      }
      ASSERT_FALSE(store_->find(done));
      ASSERT_EQ(store_->check(nullptr).damaged, 0U);
      store_.reset();
      if (was_faultless) break;
      ASSERT_LT(n, 1000);
    }
  }
}

// What segments hold is counted when the queue is opened. A start that has no room for that must
// not take for empty what nobody has counted.
TEST_F(Journal, WhatWasNotCountedIsNotTakenForEmpty) {
  limits_.segment_size = 64 * base::kKiB;
  open();
  std::vector<base::Id> waiting;
  for (std::uint32_t i = 0; i < 12; ++i) {
    waiting.push_back(submit_text("p", random_text(6'000, i)));
    if (i == 2) (void)store_->list({});  // the database knows of three; the next segment is made
  }
  crash();
  std::size_t uncounted = 0;
  for (int n = 1;; ++n) {
    restore();
    failed_.clear();
    code_ = ENOSPC;
    countdown_ = n;
    auto opened = try_open();
    countdown_ = 0;
    const bool was_faultless = failed_.empty();
    uncounted += failed_.contains(FileCall::kCommit);
    if (opened) {
      store_ = opened.take();
      (void)store_->list({});  // now there is room
      for (std::uint32_t i = 0; i < 24; ++i) {
        ASSERT_EQ(finish(submit_text("q", random_text(6'000, 100 + i))), Failure::kNone);
        if (i % 4 == 0) (void)store_->list({});
      }
      for (std::uint32_t i = 0; i < 4; ++i) ASSERT_EQ(finish(waiting[i]), Failure::kNone);
      ASSERT_EQ(finish(waiting[11]), Failure::kNone);
      (void)store_->list({});
      for (std::uint32_t i = 4; i < 11; ++i) {
        ASSERT_TRUE(read_back(waiting[i]) == "p" + random_text(6'000, i)) << n << ", " << i;
      }
    }
    store_.reset();
    open();
    EXPECT_EQ(store_->check(nullptr).damaged, 0U) << n;
    store_.reset();
    if (was_faultless) break;
    ASSERT_LT(n, 1000);
  }
  EXPECT_GE(uncounted, 2U);  // of the journal, and of the count
}

// A whole frame lies behind the end of the journal, and was answered with kFull.
TEST_F(Journal, WhatCouldNeitherBeSyncedNorCutIsNotTakenUpLater) {
  open();
  const base::Id first = submit_text("p", "first");
  is_thin_ = true;
  NewMessage message = new_message("p", "refused");
  const base::Id refused = message.message.id;
  EXPECT_EQ(submit(std::move(message)), Failure::kFull);
  ASSERT_EQ(finish(first), Failure::kNone);  // into the database, which has room
  crash();
  is_thin_ = false;
  open();
  EXPECT_FALSE(store_->find(first));
  EXPECT_FALSE(store_->find(refused));
  EXPECT_EQ(store_->message_count(), 0U);
}

TEST_F(Journal, ABodyIsNeverTakenForAFrame) {
  open();
  const base::Id first = submit_text("p", "first");
  (void)store_->list({});
  // A frame that removes the message, as somebody would send it who knows all but the uuid.
  std::string log;
  log_removal(log, Table::kMessage, first.key());
  FrameHead head;
  head.changes_size = log.size();
  head.changes_crc = checksum(0, log);
  const std::uint64_t place = journal_end() + kFrameHead;
  const std::string forged = encode_head(head, std::string(16, '\0'), 1, place) + log;
  const base::Id second = submit_text("", forged);
  EXPECT_EQ(store_->find(second)->body.content_offset, place);
  crash();
  // The frame around it is torn in its head, and the journal goes on where the body is.
  open();
  EXPECT_EQ(read_back(first), "pfirst");
  EXPECT_EQ(read_back(second), forged);
  EXPECT_FALSE(decode_head(forged.substr(0, kFrameHead), std::string(16, 'u'), 1, place));
  EXPECT_FALSE(decode_head(forged.substr(0, kFrameHead), std::string(16, '\0'), 1, place + 1));
  EXPECT_TRUE(decode_head(forged.substr(0, kFrameHead), std::string(16, '\0'), 1, place));
}

// The journal goes on in the next segment without the database, which knows only where it began.
TEST_F(Journal, AStartFollowsTheJournalThroughItsSegments) {
  limits_.segment_size = 64 * base::kKiB;
  open();
  std::map<base::Id, std::string> there;
  const auto add = [&](std::uint32_t seed) {
    const std::string text = random_text(6'000, seed);
    there[submit_text("p", text)] = "p" + text;
  };
  for (std::uint32_t i = 0; i < 8; ++i) add(i);
  (void)store_->list({});  // the database knows of these, and the next segment is made
  const std::uint64_t first = store_->find(there.begin()->first)->body.segment;
  for (std::uint32_t i = 8; i < 16; ++i) add(i);
  const base::Id gone = there.begin()->first;
  ASSERT_EQ(finish(gone), Failure::kNone);  // told in the second segment, of one in the first
  there.erase(gone);
  std::set<std::uint64_t> segments;
  for (const auto& [id, text] : there) segments.insert(store_->find(id)->body.segment);
  ASSERT_EQ(segments, (std::set<std::uint64_t>{first, first + 1}));
  crash();
  for (int start = 0; start < 2; ++start) {
    open();
    EXPECT_EQ(store_->message_count(), there.size());
    for (const auto& [id, text] : there) EXPECT_TRUE(read_back(id) == text);
    EXPECT_FALSE(store_->find(gone));
    EXPECT_EQ(store_->check(nullptr).damaged, 0U);
  }
}

// A spare has the frames of its life before behind what is written to it in this one.
TEST_F(Journal, OldFramesOfASpareAreNotTakenUp) {
  limits_.segment_size = 64 * base::kKiB;
  open();
  std::vector<base::Id> old;
  for (std::uint32_t i = 0; i < 8; ++i) old.push_back(submit_text("p", random_text(6'000, i)));
  for (const base::Id& id : old) ASSERT_EQ(finish(id), Failure::kNone);
  (void)store_->list({});  // now it is empty, and more than half as long as a segment gets
  ASSERT_EQ(segment_files("spare-"), 1U);
  ASSERT_EQ(segment_files(), 0U);
  // Closed and opened: the number is not given out again, or its old frames would be valid.
  open();
  const base::Id id = submit_text("p", random_text(6'000, 0));
  EXPECT_EQ(store_->find(id)->body.segment, 2U);
  EXPECT_EQ(segment_files("spare-"), 0U);
  EXPECT_GT(fs::file_size(segment_file()), 8 * 6'000U);
  crash();
  open();
  EXPECT_EQ(store_->message_count(), 1U);
  EXPECT_EQ(read_back(id), "p" + random_text(6'000, 0));
  for (const base::Id& gone : old) EXPECT_FALSE(store_->find(gone));
  EXPECT_EQ(store_->check(nullptr).damaged, 0U);
}

// Whoever reads a message that is removed meanwhile must not come to read another one.
TEST_F(Journal, WhatIsBeingReadBecomesNoSpare) {
  limits_.segment_size = 64 * base::kKiB;
  open();
  std::vector<base::Id> ids;
  for (std::uint32_t i = 0; i < 8; ++i) ids.push_back(submit_text("p", random_text(6'000, i)));
  (void)store_->list({});
  const auto reader = store_->open_content(*store_->find(ids[0]));
  ASSERT_TRUE(reader.ok());
  for (const base::Id& id : ids) ASSERT_EQ(finish(id), Failure::kNone);
  (void)store_->list({});
  EXPECT_EQ(segment_files(), 1U);  // where the journal goes on
  EXPECT_EQ(segment_files("spare-"), 0U);
  for (std::uint32_t i = 0; i < 8; ++i) submit_text("q", random_text(6'000, 99 + i));
  std::string text(6'001, '\0');
  ASSERT_TRUE((*reader)->read(0, text).ok());
  EXPECT_EQ(text, "p" + random_text(6'000, 0));
}

// So many segments are kept open; who still reads one that is not among them counts as well.
TEST_F(Journal, WhatIsBeingReadBecomesNoSpareWhereManyOthersAreOpen) {
  limits_.segment_size = 64 * base::kKiB;
  open();
  std::vector<base::Id> ids;
  for (std::uint32_t i = 0; i < 180; ++i) ids.push_back(submit_text("p", random_text(60'000, i)));
  (void)store_->list({});
  const auto reader = store_->open_content(*store_->find(ids[0]));
  ASSERT_TRUE(reader.ok());
  for (const base::Id& id : ids) ASSERT_FALSE(read_back(id).empty());
  const auto place = store_->find(ids[0])->body.segment;
  for (std::size_t i = 0; i < 2; ++i) {  // those that share its segment
    if (store_->find(ids[i])->body.segment != place) continue;
    ASSERT_EQ(finish(ids[i]), Failure::kNone);
  }
  (void)store_->list({});
  EXPECT_EQ(segment_files("spare-"), 0U);
  for (std::uint32_t i = 0; i < 4; ++i) submit_text("q", random_text(60'000, 990 + i));
  std::string text(60'001, '\0');
  ASSERT_TRUE((*reader)->read(0, text).ok());
  EXPECT_TRUE(text == "p" + random_text(60'000, 0));
}

TEST_F(Journal, SparesGoWhereRoomIsShort) {
  limits_.segment_size = 64 * base::kKiB;
  open();
  const base::Id id = submit_text("p", random_text(50'000, 1));
  ASSERT_EQ(finish(id), Failure::kNone);
  (void)store_->list({});
  ASSERT_EQ(segment_files("spare-"), 1U);
  auto segments = SegmentDirectory::open(queue_directory() + "/segments", "0123456789abcdef", {});
  ASSERT_TRUE(segments.ok());
  EXPECT_TRUE((*segments)->has_room(1));
  EXPECT_EQ(segment_files("spare-"), 1U);
  EXPECT_FALSE((*segments)->has_room(1ULL << 60));
  EXPECT_EQ(segment_files("spare-"), 0U);
  // The store does not know that it is gone, and makes a new one.
  EXPECT_EQ(read_back(submit_text("p", "text")), "ptext");
}

TEST(ChangeLog, AnythingElseIsRefused) {
  Draft draft;
  draft.put(Table::kMessage, std::string(16, 'i'), "value");
  EXPECT_FALSE(draft.remove(Table::kDelivery, std::string(20, 'd'), false));
  EXPECT_TRUE(draft.remove(Table::kDelivery, std::string(20, 'd'), true));
  EXPECT_EQ(ids_in(draft).size(), 2U);
  const std::string log = draft.log();
  const auto is_log = [](std::string_view bytes) {
    Draft read;
    return redo(read, bytes);
  };
  EXPECT_TRUE(is_log(log));
  EXPECT_TRUE(is_log(""));
  for (std::size_t size = 1; size < log.size(); ++size) {
    const bool is_change = size == log.size() - 22;  // the first one is whole
    EXPECT_EQ(is_log(std::string_view(log).substr(0, size)), is_change) << size;
  }
  EXPECT_FALSE(is_log("\x1f"));                    // no such table
  EXPECT_FALSE(is_log("\x31\x01k\x01v"));          // no such kind
  EXPECT_FALSE(is_log(std::string("\x21\0", 2)));  // no key
}

}  // namespace
}  // namespace queue
