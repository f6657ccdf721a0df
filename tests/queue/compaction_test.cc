// Segments that are mostly dead: survivors are copied forward, the files go, nothing is lost.
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <map>
#include <thread>

#include "queue/support.h"

namespace queue {
namespace {

namespace fs = std::filesystem;

class Compaction : public StoreTest {
 protected:
  Compaction() {
    limits_.segment_size = 256 * base::kKiB;
    limits_.queue_map_size = 256 * base::kMiB;
    limits_.recent_octets = 0;  // what is read comes from the disk
  }
  // Without the spares, of which there are at most two.
  [[nodiscard]] std::uint64_t segment_octets() const {
    std::uint64_t octets = 0;
    for (const auto& entry : fs::directory_iterator(queue_directory() + "/segments")) {
      if (entry.path().filename().string().starts_with("spare-")) continue;
      std::error_code gone;
      const auto size = entry.file_size(gone);
      if (!gone) octets += size;
    }
    return octets;
  }
  template <typename Condition>
  bool becomes(Condition condition) {
    for (int i = 0; i < 1000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  [[nodiscard]] CheckReport check() const { return store_->check(nullptr); }

  // 400 messages of 10 kB, of which every tenth stays.
  std::map<base::Id, std::uint32_t> fill_and_thin() {
    std::map<base::Id, std::uint32_t> living;
    std::vector<base::Id> dying;
    for (std::uint32_t i = 0; i < 400; ++i) {
      const base::Id id = submit_text("prefix", random_text(10'000, i));
      if (i % 10 == 0) {
        living[id] = i;
      } else {
        dying.push_back(id);
      }
    }
    for (const base::Id& id : dying) EXPECT_EQ(finish(id), Failure::kNone);
    return living;
  }
};

TEST_F(Compaction, SurvivorsAreCopiedForwardAndTheFilesGo) {
  open();
  const auto living = fill_and_thin();
  EXPECT_TRUE(becomes([&] { return segment_octets() < 1'800'000; })) << segment_octets();
  for (const auto& [id, seed] : living) {
    EXPECT_TRUE(read_back(id) == "prefix" + random_text(10'000, seed)) << seed;
  }
  EXPECT_EQ(check().damaged, 0U);
  open();
  for (const auto& [id, seed] : living) {
    EXPECT_TRUE(read_back(id) == "prefix" + random_text(10'000, seed)) << seed;
    EXPECT_EQ(finish(id), Failure::kNone);
  }
  EXPECT_EQ(store_->message_count(), 0U);
  open();
  EXPECT_EQ(segment_files(), 0U);
}

TEST_F(Compaction, WhoReadsAnOldPlaceGoesOnAndWhoLooksThereIsSentOn) {
  open();
  const base::Id first = submit_text("prefix", random_text(10'000, 77));
  const auto message = store_->find(first);  // looked up, not yet opened
  const auto reader = store_->open_content(*message);
  ASSERT_TRUE(reader.ok());
  fill_and_thin();
  ASSERT_TRUE(becomes([&] { return store_->find(first)->body.segment != message->body.segment; }));
  const std::string old_file = queue_directory() + "/segments/0000000000000001";
  ASSERT_TRUE(becomes([&] { return !fs::exists(old_file); }));
  std::string text(10'006, '\0');
  ASSERT_TRUE((*reader)->read(0, text).ok());
  EXPECT_TRUE(text == "prefix" + random_text(10'000, 77));
  const auto late = store_->open_content(*message);
  ASSERT_TRUE(late.ok()) << late.message();
  ASSERT_TRUE((*late)->read(0, text).ok());
  EXPECT_TRUE(text == "prefix" + random_text(10'000, 77));
}

TEST_F(Compaction, WhatIsDamagedStaysWhereItIs) {
  open();
  const base::Id bad = submit_text("prefix", random_text(10'000, 5));
  const auto place = store_->find(bad)->body;
  (void)store_->list({});  // no more in memory
  {
    std::fstream file(queue_directory() + "/segments/0000000000000001",
                      std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(place.content_offset + 100));
    file.put('\0').put('\1').put('\2');
  }
  const auto living = fill_and_thin();
  EXPECT_TRUE(becomes([&] { return segment_octets() < 2'900'000; })) << segment_octets();
  EXPECT_EQ(store_->find(bad)->body.segment, place.segment);
  EXPECT_TRUE(fs::exists(queue_directory() + "/segments/0000000000000001"));
  EXPECT_NE(read_back(bad).find("checksum"), std::string::npos);
  for (const auto& [id, seed] : living) {
    EXPECT_TRUE(read_back(id) == "prefix" + random_text(10'000, seed)) << seed;
  }
  const CheckReport report = check();
  ASSERT_EQ(report.damaged, 1U);
  EXPECT_EQ(report.findings[0].what, "bytes");
  EXPECT_EQ(report.findings[0].id, bad.str());
}

TEST_F(Compaction, ADiskThatFailsDuringTheCopyPoisonsAndLosesNothing) {
  std::atomic<bool> armed = false;
  std::atomic<bool> failed = false;
  fault_ = [&](FileCall call) {
    if (armed && call == FileCall::kSync) {
      failed = true;
      return EIO;
    }
    return 0;
  };
  open();
  std::map<base::Id, std::uint32_t> all;
  for (std::uint32_t i = 0; i < 400; ++i) {
    all[submit_text("prefix", random_text(10'000, i))] = i;
  }
  armed = true;  // from here on only the copies are synced: finishing writes no bytes
  for (auto at = all.begin(); at != all.end();) {
    if (at->second % 10 == 0 || finish(at->first) != Failure::kNone) {
      ++at;
    } else {
      at = all.erase(at);
    }
  }
  ASSERT_TRUE(becomes([&] { return failed.load(); }));
  EXPECT_TRUE(becomes([&] { return store_->health().failure == Failure::kFailed; }));
  armed = false;
  open();
  for (const auto& [id, seed] : all) {
    EXPECT_TRUE(read_back(id) == "prefix" + random_text(10'000, seed)) << seed;
  }
  EXPECT_EQ(store_->message_count(), all.size());
}

// A queue that is never empty: the oldest leaves when a new one comes, but every 500th stays for
// long. QUEUE_CHURN=1000000 makes it a million.
TEST_F(Compaction, DiskUseStaysBoundedInAQueueThatIsNeverEmpty) {
  limits_.segment_size = 4 * base::kMiB;
  open();
  const char* asked = std::getenv("QUEUE_CHURN");
  const std::uint32_t messages =
      asked != nullptr ? static_cast<std::uint32_t>(atol(asked)) : 20'000;
  constexpr std::size_t kOctets = 1000;
  constexpr std::size_t kWindow = 500;
  const std::string text = random_text(kOctets, 1);
  std::deque<base::Id> window;
  std::vector<base::Id> staying;
  std::uint64_t most = 0;
  std::atomic<int> refused = 0;
  std::atomic<int> open_calls = 0;
  const auto done = [&](Failure failure) {
    refused += failure != Failure::kNone;
    --open_calls;
  };
  for (std::uint32_t i = 0; i < messages; ++i) {
    NewMessage message = new_message(std::to_string(i), text);
    (i % 500 == 0 ? staying.emplace_back() : window.emplace_back()) = message.message.id;
    open_calls += 2;
    store_->submit(std::move(message), done);
    if (window.size() > kWindow) {
      DeliveryUpdate change;
      change.id = window.front();
      change.finished = true;
      window.pop_front();
      store_->update(std::move(change), done);
    } else {
      --open_calls;
    }
    while (open_calls > 400) std::this_thread::yield();
    if (i % 1000 == 0) most = std::max(most, segment_octets());
  }
  EXPECT_TRUE(becomes([&] { return open_calls == 0; }));
  EXPECT_EQ(refused, 0);
  EXPECT_EQ(store_->message_count(), window.size() + staying.size());
  for (std::uint32_t i = 0; i < staying.size(); ++i) {
    ASSERT_TRUE(read_back(staying[i]) == std::to_string(i * 500) + text) << i;
  }
  for (const base::Id& id : window) {
    const std::string all = read_back(id);
    ASSERT_TRUE(all.ends_with(text)) << all.substr(0, 100);
  }
  EXPECT_EQ(check().damaged, 0U);
  const std::uint64_t living = (window.size() + staying.size()) * (kOctets + 6);
  printf(
      "%u messages, %.1f MB through the queue; at most %.1f MB of segments, %.1f MB at the end, "
      "%.1f MB alive\n",
      messages, messages * 1e-6 * kOctets, 1e-6 * static_cast<double>(most),
      1e-6 * static_cast<double>(segment_octets()), 1e-6 * static_cast<double>(living));
  // Four times what lives, what is too little to be worth a sweep, and what comes meanwhile.
  EXPECT_LT(most, 4 * living + 8 * static_cast<std::uint64_t>(limits_.segment_size));
}

}  // namespace
}  // namespace queue
