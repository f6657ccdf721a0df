// The window against a model of the disk: whatever meets in whatever order, nothing is forgotten
// and nothing is given twice.
#include "queue/due_window.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace queue {
namespace {

DeliveryName name_of(std::uint32_t number) {
  DeliveryName name;
  name.id.bytes[14] = static_cast<std::uint8_t>(number >> 8);
  name.id.bytes[15] = static_cast<std::uint8_t>(number);
  return name;
}

// What is committed, and what of it has not been told yet.
class Disk {
 public:
  DueWindow::Read reader() {
    return [this](const std::optional<Store::Due>& after, std::size_t rows_max) {
      Store::DuePage page;
      ++reads;
      if (broken) return page;
      for (auto at = after ? rows_.upper_bound(*after) : rows_.begin(); at != rows_.end(); ++at) {
        if (page.rows.size() == rows_max) return page;
        page.rows.push_back(*at);
      }
      page.complete = true;
      return page;
    };
  }
  void waits(const DeliveryName& name, std::int64_t due_ms, bool ordered = false) {
    remove(name);
    due_of[name] = due_ms;
    rows_.insert({due_ms, name.id, name.index});
    untold.push_back({"", name.id, name.index, due_ms, ordered});
  }
  void remove(const DeliveryName& name) {
    const auto at = due_of.find(name);
    if (at == due_of.end()) return;
    rows_.erase({at->second, name.id, name.index});
    due_of.erase(at);
  }
  void tell_one(DueWindow& window) {
    const Store::Waiting w = untold.front();
    untold.pop_front();
    if (w.due_ms < 0) {  // the answer to an update, which comes before what it tells
      window.let_go({w.id, w.index});
    } else {
      window.told({w.id, w.index}, w.due_ms, w.ordered);
    }
  }
  // An outcome: the answer lets go.
  void answer(const DeliveryName& name) { untold.push_back({"", name.id, name.index, -1, false}); }
  void tell_all(DueWindow& window) {
    while (!untold.empty()) tell_one(window);
  }

  std::map<DeliveryName, std::int64_t> due_of;  // what waits
  std::deque<Store::Waiting> untold;
  bool broken = false;
  int reads = 0;

 private:
  std::set<Store::Due> rows_;
};

class DueWindowTest : public testing::Test {
 protected:
  std::vector<std::uint32_t> take_all(std::int64_t now_ms) {
    std::vector<std::uint32_t> taken;
    while (const auto name = window_.take(now_ms)) {
      taken.push_back(name->id.bytes[14] * 256U + name->id.bytes[15]);
    }
    return taken;
  }
  Disk disk_;
  std::shared_ptr<WindowShare> share_ = std::make_shared<WindowShare>(20, 1000);
  DueWindow window_{share_, disk_.reader()};
};

TEST_F(DueWindowTest, AnyNumberInOrderAndBounded) {
  for (std::uint32_t i = 0; i < 1000; ++i) disk_.waits(name_of(i), 5000 - i);
  disk_.tell_all(window_);
  EXPECT_LE(window_.size(), 25U);
  EXPECT_EQ(window_.next_due_ms(), 4001);
  std::vector<std::uint32_t> expected;
  for (std::uint32_t i = 1000; i > 0; --i) expected.push_back(i - 1);
  EXPECT_EQ(take_all(5000), expected);
  EXPECT_EQ(window_.next_due_ms(), std::nullopt);
  EXPECT_FALSE(window_.is_idle());  // in hand
  EXPECT_LE(disk_.reads, 1000 / 15 + 3);
}

TEST_F(DueWindowTest, ManyWindowsShare) {
  EXPECT_EQ(share_->entries(), 20U);
  const auto crowd = std::make_shared<WindowShare>(1000, 2000);
  std::vector<std::unique_ptr<DueWindow>> windows;
  for (int i = 0; i < 100; ++i) {
    windows.push_back(std::make_unique<DueWindow>(crowd, disk_.reader()));
  }
  EXPECT_EQ(crowd->entries(), 20U);
  windows.resize(4);
  EXPECT_EQ(crowd->entries(), 500U);
}

TEST_F(DueWindowTest, WhatIsReleasedIsDueAlsoOnDisk) {
  for (std::uint32_t i = 0; i < 40; ++i) disk_.waits(name_of(i), 100 + i);
  for (std::uint32_t i = 40; i < 50; ++i) disk_.waits(name_of(i), 900);
  for (std::uint32_t i = 50; i < 53; ++i) disk_.waits(name_of(i), 800);
  disk_.tell_all(window_);
  window_.put_off(900);
  EXPECT_TRUE(take_all(50).empty());
  window_.release(50);
  EXPECT_EQ(window_.next_due_ms(), 0);
  EXPECT_EQ(take_all(50).size(), 10U);  // not those of 800, which have another reason
  disk_.waits(name_of(60), 900);        // was under way
  disk_.tell_all(window_);
  EXPECT_EQ(take_all(50), std::vector<std::uint32_t>{60});
  window_.put_off(800);
  window_.keep_put_off();
  window_.release(50);
  EXPECT_TRUE(take_all(50).empty());
}

TEST_F(DueWindowTest, TheOperatorsGoFirst) {
  for (std::uint32_t i = 0; i < 500; ++i) disk_.waits(name_of(i), 100);
  disk_.tell_all(window_);
  disk_.waits(name_of(444), 200, true);
  disk_.tell_all(window_);
  EXPECT_EQ(window_.take(200), name_of(444));
  EXPECT_EQ(window_.take(200), name_of(0));
  for (std::uint32_t i = 100; i < 500; ++i) disk_.waits(name_of(i), 300, true);
  disk_.tell_all(window_);  // 444 is in hand
  EXPECT_LE(window_.size(), 60U);
  EXPECT_EQ(take_all(300).size(), 498U);
}

TEST_F(DueWindowTest, ADiskThatCannotBeReadIsNoEmptyOne) {
  disk_.waits(name_of(1), 10);
  disk_.broken = true;
  disk_.tell_all(window_);
  EXPECT_EQ(window_.next_due_ms(), std::nullopt);
  EXPECT_FALSE(window_.complete());
  EXPECT_FALSE(window_.is_idle());
  disk_.broken = false;
  EXPECT_EQ(window_.take(10), name_of(1));
}

TEST_F(DueWindowTest, PutBackBehindTheEndDoesNotMoveIt) {
  for (std::uint32_t i = 0; i < 100; ++i) disk_.waits(name_of(i), 1000 + 10 * i);
  window_.told(name_of(0), 1000, false);
  std::vector<DeliveryName> taken;
  for (int i = 0; i < 60; ++i) taken.push_back(*window_.take(5000));
  // New ones come before the rest, so that the window is cut; then the others come back behind it.
  for (std::uint32_t i = 200; i < 260; ++i) disk_.waits(name_of(i), 5);
  disk_.tell_all(window_);
  for (const DeliveryName& name : taken) window_.put_back(name);
  EXPECT_EQ(take_all(5000).size(), 160U);
}

// Everything at random: commits, tellings, readings and attempts interleave as they do between the
// committer's thread and the loop.
class Random : public DueWindowTest, public testing::WithParamInterface<std::uint32_t> {
 protected:
  std::uint32_t pick(std::uint32_t below) { return static_cast<std::uint32_t>(random_()) % below; }
  DeliveryName any() { return name_of(pick(400)); }
  DeliveryName any_in_hand() {
    auto at = in_hand_.begin();
    std::advance(at, pick(static_cast<std::uint32_t>(in_hand_.size())));
    return *at;
  }
  // The answer to an outcome is under way: it is not ours any more, but the window's still.
  void settle(const DeliveryName& name) {
    in_hand_.erase(name);
    settling_.insert(name);
    disk_.answer(name);
  }
  void tell_one() {
    const Store::Waiting w = disk_.untold.front();
    if (w.due_ms < 0) settling_.erase({w.id, w.index});
    disk_.tell_one(window_);
  }
  void take() {
    const auto name = window_.take(now_ms_);
    if (!name) return;
    ASSERT_TRUE(in_hand_.insert(*name).second) << "taken twice";
    ASSERT_FALSE(settling_.contains(*name)) << "taken before its outcome was answered";
    if (!disk_.due_of.contains(*name)) {  // held or removed meanwhile
      in_hand_.erase(*name);
      window_.let_go(*name);
    }
  }
  void attempt() {
    if (in_hand_.empty()) return;
    const DeliveryName name = any_in_hand();
    switch (pick(4)) {
      case 0:
        in_hand_.erase(name);
        return window_.put_back(name);
      case 1:
        disk_.remove(name);  // delivered
        return settle(name);
      case 2: {  // put off with all others
        const std::int64_t until_ms = now_ms_ + 300;
        window_.put_off(until_ms);
        settle(name);
        if (disk_.due_of.contains(name)) disk_.waits(name, until_ms);
        return;
      }
      default:
        settle(name);
        if (disk_.due_of.contains(name)) disk_.waits(name, now_ms_ + pick(500));
    }
  }
  void step() {
    switch (pick(12)) {
      case 0:
      case 1: {
        const DeliveryName name = any();
        if (!disk_.due_of.contains(name)) disk_.waits(name, now_ms_ + pick(3) * pick(300));
        return;
      }
      case 2: {
        const DeliveryName name = any();
        if (disk_.due_of.contains(name)) disk_.waits(name, now_ms_, true);  // retry
        return;
      }
      case 3:
        return disk_.remove(any());  // hold, remove
      case 4:
        now_ms_ += pick(20);
        return;
      case 5:
        if (pick(20) == 0) window_.release(now_ms_);
        if (pick(20) == 0) window_.keep_put_off();
        if (pick(30) == 0) window_.hurry_first();
        return;
      case 6:
        disk_.broken = pick(4) == 0;
        return;
      case 7:
      case 8:
        return take();
      case 9:
        return attempt();
      default:
        if (!disk_.untold.empty()) tell_one();
    }
  }
  // With everything told, what is due on disk and not in hand is given, all of it.
  void check() {
    disk_.broken = false;
    while (!disk_.untold.empty()) tell_one();
    std::size_t due = 0;
    for (const auto& [name, due_ms] : disk_.due_of) {
      due += due_ms <= now_ms_ && !in_hand_.contains(name) ? 1 : 0;
    }
    std::size_t given = 0;
    std::vector<DeliveryName> taken;
    while (const auto name = window_.take(now_ms_)) {
      ASSERT_FALSE(in_hand_.contains(*name)) << "taken twice";
      taken.push_back(*name);
      const auto on_disk = disk_.due_of.find(*name);
      given += on_disk != disk_.due_of.end() && on_disk->second <= now_ms_ ? 1 : 0;
    }
    ASSERT_EQ(given, due);
    for (const DeliveryName& name : taken) window_.put_back(name);
    ASSERT_LE(window_.size(), 25U + 40U + taken.size());
  }

  std::set<DeliveryName> in_hand_, settling_;
  std::int64_t now_ms_ = 10'000;
  std::mt19937 random_{GetParam()};
};

TEST_P(Random, NothingIsForgottenOrGivenTwice) {
  for (int i = 0; i < 20'000; ++i) {
    ASSERT_NO_FATAL_FAILURE(step()) << "step " << i;
    if (i % 500 == 0) {
      ASSERT_NO_FATAL_FAILURE(check()) << "step " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, Random, testing::Range(1U, 21U));

}  // namespace
}  // namespace queue
