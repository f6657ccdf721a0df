// Disks that fail or are full, databases that are full, files that are not what they were.
#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <thread>

#include "queue/codec.h"
#include "queue/environment.h"
#include "queue/support.h"

namespace queue {
namespace {

namespace fs = std::filesystem;

class Failing : public StoreTest {
 protected:
  Failing() {
    fault_ = [this](FileCall call) {
      if (only_ && call != *only_) return 0;
      return --countdown_ == 0 ? code_.load() : 0;
    };
  }
  void fail_at(int n, int code, std::optional<FileCall> only = std::nullopt) {
    only_ = only;
    code_ = code;
    countdown_ = n;
  }
  [[nodiscard]] std::vector<fs::path> files() const {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(queue_directory() + "/segments")) {
      found.push_back(entry.path());
    }
    std::sort(found.begin(), found.end());
    return found;
  }
  [[nodiscard]] fs::path file_of(const BodyRef& body) const {
    for (const fs::path& file : files()) {
      if (std::stoull(file.filename(), nullptr, 16) == body.segment) return file;
    }
    return {};
  }
  bool becomes_healthy() {
    for (int i = 0; i < 500; ++i) {
      if (store_->health().failure == Failure::kNone) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

  std::optional<FileCall> only_;
  std::atomic<int> code_ = 0;
  std::atomic<int> countdown_ = 0;
};

TEST_F(Failing, AFailedSyncPoisonsForGood) {
  open();
  const base::Id id = submit_text("p", "before");
  fail_at(1, EIO, FileCall::kSync);
  NewMessage message = new_message("p", "lost");
  const base::Id lost = message.message.id;
  EXPECT_EQ(submit(std::move(message)), Failure::kFailed);
  EXPECT_EQ(store_->health().failure, Failure::kFailed);
  EXPECT_NE(store_->health().reason.find("restart"), std::string::npos);
  // The disk is well again; the store does not believe it.
  NewMessage later;
  later.message = message_of(ids_.next());
  later.deliveries.push_back(delivery_to("backend:acme", 1));
  EXPECT_EQ(submit(std::move(later)), Failure::kFailed);
  EXPECT_EQ(finish(id), Failure::kFailed);
  EXPECT_EQ(store_->begin_content()->append("x"), Failure::kFailed);
  EXPECT_EQ(read_back(id), "pbefore");
  open();
  EXPECT_EQ(store_->health().failure, Failure::kNone);
  EXPECT_EQ(read_back(id), "pbefore");
  EXPECT_FALSE(store_->find(lost));
}

TEST_F(Failing, AFailedCommitPoisonsForGood) {
  open();
  const base::Id id = submit_text("p", "before");
  const base::Id done = submit_text("p", "done");
  fail_at(1, EIO, FileCall::kCommit);
  EXPECT_EQ(finish(done), Failure::kNone);  // it is in the journal
  (void)store_->list({});
  EXPECT_EQ(store_->health().failure, Failure::kFailed);
  EXPECT_EQ(finish(id), Failure::kFailed);
  open();
  EXPECT_EQ(read_back(id), "pbefore");
  EXPECT_FALSE(store_->find(done));
}

TEST_F(Failing, TooManyOpenFilesIsNoFailedDisk) {
  open();
  for (const int code : {EMFILE, ENFILE}) {
    fail_at(1, code, FileCall::kCreate);
    EXPECT_EQ(submit(new_message("p", "small")), Failure::kBusy);  // no shared segment yet
    fail_at(1, code, FileCall::kCreate);
    EXPECT_EQ(store_->begin_content()->append(random_text(200'000, 1)), Failure::kBusy);
    EXPECT_EQ(store_->health().failure, Failure::kNone);
  }
  const base::Id id = submit_text("p", "later");
  EXPECT_EQ(read_back(id), "plater");
  EXPECT_EQ(store_->message_count(), 1U);
}

TEST_F(Failing, WhereverTheDiskFailsWhatWasAnsweredIsThere) {
  open();
  for (const int code : {EIO, ENOSPC}) {
    for (int n = 1; n <= 40; ++n) {
      std::vector<std::pair<base::Id, std::string>> answered;
      std::vector<base::Id> finished;
      fail_at(n, code);
      for (std::uint32_t i = 0; i < 6; ++i) {
        const std::string text = random_text(i % 2 == 0 ? 100 : 150'000, i);
        NewMessage message;
        message.message = message_of(ids_.next());
        message.prefix = "p";
        message.content = store_->begin_content();
        (void)message.content->append(text);
        message.deliveries.push_back(delivery_to("backend:acme", 1));
        const base::Id id = message.message.id;
        if (submit(std::move(message)) != Failure::kNone) continue;
        if (i % 3 == 0 && finish(id) == Failure::kNone) {
          finished.push_back(id);
        } else {
          answered.emplace_back(id, "p" + text);
        }
      }
      if (code == ENOSPC) {
        EXPECT_NE(store_->health().failure, Failure::kFailed) << n;
      }
      countdown_ = 0;
      open();
      for (const auto& [id, text] : answered) {
        EXPECT_TRUE(read_back(id) == text) << "call " << n << " code " << code;
        EXPECT_EQ(finish(id), Failure::kNone);
      }
      for (const base::Id& id : finished) EXPECT_FALSE(store_->find(id));
      EXPECT_EQ(store_->message_count(), 0U) << "call " << n << " code " << code;
    }
  }
}

TEST_F(Failing, NoRoomForOneOfManyIsNoRoomForThatOneOnly) {
  open();
  ASSERT_EQ(submit(new_message("p", "first")), Failure::kNone);
  std::atomic<int> done = 0;
  std::atomic<int> full = 0;
  std::atomic<bool> go = false;
  // Keeps the committer busy, in the callback behind its commit, so that the others make one batch.
  std::atomic<bool> busy = false;
  store_->submit(new_message("p", "c"), [&](Failure) {
    busy = true;
    busy.notify_all();
    go.wait(false);
  });
  busy.wait(false);
  fail_at(1, ENOSPC, FileCall::kCommit);
  for (int i = 0; i < 64; ++i) {
    store_->submit(new_message("p", "c"), [&](Failure failure) {
      done += failure == Failure::kNone;
      full += failure == Failure::kFull;
    });
  }
  go = true;
  go.notify_all();
  EXPECT_EQ(submit(new_message("p", "last")), Failure::kNone);
  EXPECT_EQ(done, 64);  // halves were tried again and had room
  EXPECT_EQ(full, 0);
  EXPECT_EQ(store_->message_count(), 67U);
}

TEST_F(Failing, AFullMapCanBeEmptiedAndTakesMailAgain) {
  limits_.queue_map_size = 2 * base::kMiB;
  open();
  std::vector<base::Id> ids;
  const auto fat_message = [&] {
    NewMessage message = new_message("p", "c");
    message.message.judgement = std::string(20'000, 'j');
    return message;
  };
  for (int round = 0; round < 3; ++round) {
    ids.clear();
    Failure failure = Failure::kNone;
    while (failure == Failure::kNone && ids.size() < 1000) {
      NewMessage message = fat_message();
      ids.push_back(message.message.id);
      failure = submit(std::move(message));
    }
    EXPECT_EQ(failure, Failure::kFull);
    EXPECT_EQ(store_->health().failure, Failure::kFull);
    EXPECT_NE(store_->health().reason.find("queue_map_size"), std::string::npos);
    ids.pop_back();
    EXPECT_GT(ids.size(), 20U) << "round " << round;
    // Bounces go into the reserve, until they are refused as well ...
    DeliveryUpdate change;
    int bounces = 0;
    do {
      change = {};
      change.id = ids[0];
      change.also.push_back(fat_message());
      ids.push_back(change.also[0].message.id);
      ++bounces;
    } while ((failure = update(std::move(change))) == Failure::kNone && bounces < 1000);
    EXPECT_EQ(failure, Failure::kFull);
    EXPECT_GT(bounces, 1);
    ids.pop_back();
    // ... and everything can be removed.
    for (const base::Id& id : ids) ASSERT_EQ(finish(id), Failure::kNone);
    EXPECT_TRUE(becomes_healthy());
  }
  ids = {submit_text("p", "again")};
  EXPECT_EQ(read_back(ids[0]), "pagain");
}

TEST_F(Failing, AMapThatIsSimplyTooSmallNeverPoisons) {
  limits_.queue_map_size = base::kMiB;
  open();
  NewMessage message = new_message("p", "c");
  message.message.judgement = std::string(3'000'000, 'j');
  EXPECT_EQ(submit(std::move(message)), Failure::kFull);
  EXPECT_TRUE(becomes_healthy());
  submit_text("p", "c");
}

class SmallDisk : public Failing {
 protected:
  void SetUp() override {
    if (mkdir(directory_path().c_str(), 0700) != 0 ||
        mount("tmpfs", directory_path().c_str(), "tmpfs", 0, "size=8m") != 0) {
      GTEST_SKIP() << "cannot mount a tmpfs here; the full disk is not tested";
    }
    mounted_ = true;
    open();
  }
  void TearDown() override {
    store_.reset();
    if (mounted_) umount(directory_path().c_str());
  }
  [[nodiscard]] std::string directory_path() const { return directory_.path() + "/small"; }
  [[nodiscard]] std::string queue_directory() const override { return directory_path() + "/queue"; }
  bool mounted_ = false;
};

TEST_F(SmallDisk, FullIsSaidAndPasses) {
  std::vector<base::Id> ids;
  Failure failure = Failure::kNone;
  while (failure == Failure::kNone && ids.size() < 1000) {
    NewMessage message = new_message("p", random_text(30'000, 1));
    ids.push_back(message.message.id);
    failure = submit(std::move(message));
  }
  EXPECT_EQ(failure, Failure::kFull);
  EXPECT_EQ(store_->health().failure, Failure::kFull);
  ids.pop_back();
  EXPECT_GT(ids.size(), 100U);
  EXPECT_EQ(store_->begin_content()->append(std::string(200'000, 'x')), Failure::kFull);
  EXPECT_TRUE(read_back(ids.back()) == "p" + random_text(30'000, 1));
  for (const base::Id& id : ids) ASSERT_EQ(finish(id), Failure::kNone);
  EXPECT_TRUE(becomes_healthy());
  submit_text("p", random_text(300'000, 2));
}

TEST_F(SmallDisk, SomebodyElseFillsItToTheLastOctet) {
  std::vector<base::Id> ids;
  for (int i = 0; i < 50; ++i) ids.push_back(submit_text("p", random_text(30'000, 1)));
  const std::string filler = directory_path() + "/filler";
  {
    const int fd = ::open(filler.c_str(), O_WRONLY | O_CREAT, 0600);
    const std::string block(4096, 'f');
    while (write(fd, block.data(), block.size()) > 0) {
    }
    close(fd);
  }
  EXPECT_EQ(submit(new_message("p", "c")), Failure::kFull);
  for (int i = 0; i < 25; ++i) {
    const Failure failure = finish(ids[static_cast<std::size_t>(i)]);
    EXPECT_TRUE(failure == Failure::kNone || failure == Failure::kFull);
  }
  open();  // a start on a full disk, too
  (void)store_->list({});
  fs::remove(filler);
  EXPECT_EQ(submit(new_message("p", "c")), Failure::kNone);
  EXPECT_TRUE(becomes_healthy());
  for (int i = 25; i < 50; ++i) {
    EXPECT_TRUE(read_back(ids[static_cast<std::size_t>(i)]) == "p" + random_text(30'000, 1));
  }
}

TEST_F(Failing, TornTailsAndOrphansAreRemoved) {
  open();
  const base::Id small = submit_text("p", "small");
  const base::Id large = submit_text("p", random_text(100'000, 1));
  store_.reset();
  ASSERT_EQ(files().size(), 2U);
  std::uintmax_t before = 0;
  for (const fs::path& file : files()) {
    before += fs::file_size(file);
    std::ofstream(file, std::ios::app) << random_text(1000, 2);
  }
  std::ofstream(queue_directory() + "/segments/00000000000000aa") << "half a header";
  std::ofstream(queue_directory() + "/segments/not-a-segment") << "somebody's";
  open();
  EXPECT_EQ(read_back(small), "psmall");
  EXPECT_TRUE(read_back(large) == "p" + random_text(100'000, 1));
  ASSERT_EQ(files().size(), 3U);
  EXPECT_TRUE(fs::exists(queue_directory() + "/segments/not-a-segment"));
  EXPECT_LE(fs::file_size(files()[0]) + fs::file_size(files()[1]), before + 1000);
  EXPECT_LT(fs::file_size(files()[0]), 200U);  // the shared one, cut
}

TEST_F(Failing, WhatIsDamagedIsHeldAndTheRestGoesOn) {
  open();
  const base::Id first = submit_text("p", "first");
  const base::Id second = submit_text("p", "second");
  const base::Id large = submit_text("p", random_text(100'000, 1));
  const BodyRef cut = store_->find(second)->body;
  const BodyRef own = store_->find(large)->body;
  store_.reset();
  ASSERT_EQ(files().size(), 2U);
  fs::resize_file(file_of(cut), cut.content_offset + cut.content_size - 1);
  fs::remove(file_of(own));
  open();
  EXPECT_EQ(read_back(first), "pfirst");
  EXPECT_EQ(store_->delivery(first, 0)->state, State::kWaiting);
  for (const base::Id& id : {second, large}) {
    EXPECT_EQ(store_->delivery(id, 0)->state, State::kHeld);
    EXPECT_NE(store_->delivery(id, 0)->last_reply.find("damaged"), std::string::npos);
  }
  EXPECT_NE(read_back(second).find("too short"), std::string::npos);
  EXPECT_NE(read_back(large).find("segment file"), std::string::npos);
  EXPECT_EQ(all_due().size(), 1U);
  submit_text("p", "new");  // its segment takes no number that is in use
  for (const base::Id& id : {first, second, large}) EXPECT_EQ(finish(id), Failure::kNone);
  EXPECT_EQ(store_->message_count(), 1U);
}

TEST_F(Failing, AChangedOctetIsNoticedWhenRead) {
  open();
  const base::Id id = submit_text("p", "content");
  const BodyRef body = store_->find(id)->body;
  store_.reset();
  {
    std::fstream file(file_of(body), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(body.content_offset + 3));
    file.put('X');
  }
  open();
  EXPECT_NE(read_back(id).find("checksum"), std::string::npos) << read_back(id);
}

TEST_F(Failing, AnotherQueuesSegmentIsNotTaken) {
  open();
  const base::Id id = submit_text("p", "content");
  store_.reset();
  {
    std::fstream file(files()[0], std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(20);  // in the queue's uuid
    file << "somebody";
  }
  open();
  EXPECT_EQ(store_->delivery(id, 0)->state, State::kHeld);
  EXPECT_NE(read_back(id).find("another queue"), std::string::npos);
}

TEST_F(Failing, ARecordThatCannotBeReadIsKeptUntilItIsRemoved) {
  open();
  const base::Id bad = submit_text("p", "bad");
  const base::Id good = submit_text("p", "good");
  store_.reset();
  {
    auto environment = Environment::open(queue_directory(), 64 * base::kMiB);
    ASSERT_TRUE(environment.ok());
    Draft draft;
    draft.put(Table::kMessage, bad.key(), random_text(30, 1));
    Txn txn(**environment, Txn::Mode::kWrite);
    txn.write(draft);
    ASSERT_EQ(txn.commit(), 0);
  }
  const std::uintmax_t size = fs::file_size(files()[0]);
  open();
  EXPECT_EQ(fs::file_size(files()[0]), size);
  EXPECT_FALSE(store_->find(bad));
  ASSERT_TRUE(store_->delivery(bad, 0));
  EXPECT_EQ(store_->delivery(bad, 0)->state, State::kHeld);
  EXPECT_EQ(read_back(good), "pgood");
  EXPECT_EQ(wait_for([&](Store::OnDone done) { store_->remove(bad, std::move(done)); }),
            Failure::kNone);
  open();
  EXPECT_EQ(store_->message_count(), 1U);
  EXPECT_EQ(read_back(good), "pgood");
}

TEST_F(Failing, ANewerSchemaIsRefused) {
  open();
  store_.reset();
  {
    auto environment = Environment::open(queue_directory(), 64 * base::kMiB);
    ASSERT_TRUE(environment.ok());
    Draft draft;
    draft.put(Table::kMeta, "schema", "99");
    Txn txn(**environment, Txn::Mode::kWrite);
    txn.write(draft);
    ASSERT_EQ(txn.commit(), 0);
  }
  const auto opened = try_open();
  ASSERT_FALSE(opened.ok());
  EXPECT_NE(opened.message().find("schema 99"), std::string::npos) << opened.message();
}

TEST_F(Failing, GarbageForADatabaseIsAnErrorAndNoCrash) {
  fs::create_directories(queue_directory());
  std::ofstream(queue_directory() + "/data.mdb") << random_text(100'000, 1);
  const auto opened = try_open();
  ASSERT_FALSE(opened.ok());
  EXPECT_NE(opened.message().find(queue_directory()), std::string::npos) << opened.message();
}

}  // namespace
}  // namespace queue
