#include "relayd/tickets/schedule.h"

#include <gtest/gtest.h>

#include <string>

namespace tickets {
namespace {

Key key(std::uint32_t n) { return Key{{}, n}; }

// One whose disk has nothing more, so that all is told.
class TestSchedule : public Schedule {
 public:
  TestSchedule(std::size_t each_max, std::size_t total_max)
      : Schedule(each_max, total_max, std::make_shared<queue::WindowShare>(1000, 100'000),
                 [](const auto&, const auto&, std::size_t) {
                   queue::Store::DuePage page;
                   page.complete = true;
                   return page;
                 }) {}
  using Schedule::add;
  void add(const std::string& destination, const Key& key, std::int64_t due_ms) {
    add(destination, key, due_ms, false);
  }
  // As many attempts at once as there may be.
  void trust(const std::string& destination) {
    add(destination, tickets::key(999), INT64_MAX);
    for (int i = 0; i < 8; ++i) works(destination);
  }
};

std::string take(TestSchedule& schedule, std::int64_t now) {
  std::string out;
  while (const auto next = schedule.next(now)) {
    out += next->destination + std::to_string(next->key.index) + " ";
  }
  return out;
}

TEST(Schedule, OrderOfDueTimeAndFairBetweenEndpoints) {
  TestSchedule schedule(8, 100);
  schedule.trust("a");
  schedule.trust("b");
  schedule.add("a", key(2), 20);
  schedule.add("a", key(1), 10);
  schedule.add("b", key(3), 20);
  schedule.add("a", key(4), 30);
  schedule.add("a", key(9), 500);
  EXPECT_EQ(schedule.wake_ms(), 10);
  EXPECT_EQ(take(schedule, 5), "");
  EXPECT_EQ(take(schedule, 100), "a1 b3 a2 a4 ");
  EXPECT_EQ(schedule.wake_ms(), 500);
}

TEST(Schedule, Bounds) {
  TestSchedule schedule(2, 3);
  schedule.trust("a");
  schedule.trust("b");
  for (std::uint32_t i = 0; i < 4; ++i) schedule.add("a", key(i), 0);
  for (std::uint32_t i = 4; i < 8; ++i) schedule.add("b", key(i), 0);
  EXPECT_EQ(take(schedule, 1), "a0 b4 a1 ");
  schedule.slot_free("a", key(0));
  EXPECT_EQ(take(schedule, 1), "b5 ");  // its turn
  schedule.finished("a", key(0));
  schedule.finished("b", key(4));
  EXPECT_EQ(take(schedule, 1), "a2 ");
  EXPECT_EQ(schedule.in_flight(), 3u);
}

TEST(Schedule, SayingItTwiceIsHarmless) {
  TestSchedule schedule(8, 8);
  schedule.add("a", key(1), 100);
  schedule.add("a", key(1), 100);
  EXPECT_EQ(schedule.waiting(), 1u);
  schedule.add("a", key(1), 50);  // sooner: `queue retry`
  EXPECT_EQ(schedule.wake_ms(), 50);
  EXPECT_EQ(take(schedule, 60), "a1 ");
  schedule.add("a", key(1), 60);  // in flight
  EXPECT_EQ(take(schedule, 70), "");
  schedule.slot_free("a", key(1));
  schedule.add("a", key(1), 80, true);  // the operator's retry overtakes the outcome's due time
  schedule.again("a", key(1), 5000);
  EXPECT_EQ(take(schedule, 80), "a1 ");
  schedule.finished("a", key(1));
  EXPECT_EQ(schedule.waiting(), 0u);
  EXPECT_EQ(schedule.wake_ms(), std::nullopt);
}

TEST(Schedule, PausedEndpointIsProbedByOneAndThenAllFollow) {
  TestSchedule schedule(8, 8);
  for (std::uint32_t i = 0; i < 4; ++i) schedule.add("a", key(i), 0);
  ASSERT_EQ(schedule.next(1)->key, key(0));
  EXPECT_TRUE(schedule.pause("a", Pause::kRefused, 100, key(0)));
  schedule.again("a", key(0), 100);
  schedule.add("b", key(7), 0);
  EXPECT_EQ(take(schedule, 2), "b7 ");  // others are not touched
  EXPECT_EQ(schedule.wake_ms(), 100);
  EXPECT_EQ(take(schedule, 100), "a1 ");
  EXPECT_EQ(schedule.wake_ms(), std::nullopt);  // nothing before the probe is back
  EXPECT_TRUE(schedule.pause("a", Pause::kRefused, 300, key(1)));
  schedule.again("a", key(1), 300);
  EXPECT_EQ(schedule.pauses("a"), 2u);
  EXPECT_EQ(take(schedule, 299), "");
  EXPECT_EQ(take(schedule, 300), "a2 ");
  EXPECT_TRUE(schedule.works("a"));
  schedule.finished("a", key(2));
  EXPECT_EQ(take(schedule, 300), "a3 a0 ");  // two at once, after one that went well
  EXPECT_FALSE(schedule.works("a"));
  schedule.finished("a", key(3));
  EXPECT_EQ(take(schedule, 300), "a1 ");
  EXPECT_EQ(schedule.pauses("a"), 0u);
}

TEST(Schedule, LateFailuresDoNotProlongAPause) {
  TestSchedule schedule(8, 8);
  schedule.trust("a");
  for (std::uint32_t i = 0; i < 3; ++i) schedule.add("a", key(i), 0);
  EXPECT_EQ(take(schedule, 1), "a0 a1 a2 ");
  EXPECT_TRUE(schedule.pause("a", Pause::kDown, 100, key(0)));
  EXPECT_FALSE(schedule.pause("a", Pause::kDown, 900, key(1)));
  for (std::uint32_t i = 0; i < 3; ++i) schedule.again("a", key(i), 50);
  EXPECT_EQ(schedule.wake_ms(), 100);
  EXPECT_EQ(take(schedule, 99), "");
  EXPECT_EQ(take(schedule, 100), "a0 ");
}

TEST(Schedule, ProbeNow) {
  TestSchedule schedule(8, 8);
  schedule.add("a", key(1), 0);
  ASSERT_TRUE(schedule.next(1));
  schedule.pause("a", Pause::kRefused, 1'000'000, key(1));
  schedule.again("a", key(1), 1'000'000);
  EXPECT_EQ(take(schedule, 10), "");
  schedule.probe_now("a");
  EXPECT_EQ(take(schedule, 11), "a1 ");
}

TEST(Schedule, SlowOnesShareHalf) {
  TestSchedule schedule(4, 6);
  for (const char* known : {"a", "b", "c"}) schedule.trust(known);
  for (std::uint32_t i = 0; i < 8; ++i) schedule.add(i < 4 ? "a" : "b", key(i), 0);
  EXPECT_EQ(take(schedule, 1), "a0 b4 a1 b5 a2 b6 ");  // nobody is known to be slow
  schedule.add("c", key(9), 0);
  schedule.set_slow("a", true);
  schedule.set_slow("b", true);
  schedule.finished("a", key(0));
  EXPECT_EQ(take(schedule, 2), "c9 ");
  schedule.finished("a", key(1));
  schedule.finished("b", key(4));
  schedule.finished("b", key(5));
  EXPECT_EQ(take(schedule, 3), "a3 ");  // 3 of 6 again, though there is room
  EXPECT_EQ(schedule.in_flight(), 4u);
  schedule.set_slow("b", false);
  EXPECT_EQ(take(schedule, 4), "b7 ");
}

TEST(Schedule, WhoIsGoodAgainLeavesTheLineOfTheDoubtful) {
  TestSchedule schedule(4, 2);
  schedule.trust("live");
  schedule.add("dead", key(0), 0);
  schedule.count_failure("dead");
  EXPECT_EQ(take(schedule, 1), "dead0 ");  // the half of the doubtful
  schedule.set_slow("live", true);
  schedule.add("live", key(1), 0);
  EXPECT_EQ(take(schedule, 1), "");
  schedule.set_slow("live", false);
  EXPECT_EQ(take(schedule, 1), "live1 ");
}

TEST(Schedule, WhatIsPutOffWhileItsOutcomeIsWrittenIsReleasedToo) {
  TestSchedule schedule(4, 4);
  schedule.trust("a");
  for (std::uint32_t i = 0; i < 2; ++i) schedule.add("a", key(i), 0);
  EXPECT_EQ(take(schedule, 1), "a0 a1 ");
  EXPECT_TRUE(schedule.pause("a", Pause::kDown, 500, key(0)));
  schedule.slot_free("a", key(0));
  schedule.put_off("a", 500);  // on its way to the disk ...
  EXPECT_TRUE(schedule.works("a"));
  schedule.finished("a", key(1));
  schedule.again("a", key(0), 500);  // ... where it is now
  EXPECT_EQ(take(schedule, 2), "a0 ");
}

TEST(Schedule, ResumedWhileTheOnlyOutcomeIsWritten) {
  TestSchedule schedule(4, 4);
  schedule.add("a", key(0), 0);
  EXPECT_EQ(take(schedule, 1), "a0 ");
  EXPECT_TRUE(schedule.pause("a", Pause::kRefused, 1'000'000, key(0)));
  schedule.slot_free("a", key(0));
  schedule.probe_now("a");
  EXPECT_EQ(take(schedule, 2), "");
  schedule.again("a", key(0), 1'000'000);
  EXPECT_EQ(take(schedule, 2), "a0 ");
}

TEST(Schedule, TheOperatorsRetryAsksAPausedBackEnd) {
  TestSchedule schedule(4, 4);
  for (std::uint32_t i = 0; i < 2; ++i) schedule.add("a", key(i), 0);
  EXPECT_EQ(take(schedule, 1), "a0 ");
  EXPECT_TRUE(schedule.pause("a", Pause::kAsked, 1'000'000, key(0)));
  schedule.again("a", key(0), 1'000'000);
  EXPECT_EQ(take(schedule, 2), "");
  schedule.add("a", key(1), 2, true);
  EXPECT_EQ(take(schedule, 3), "a1 ");
  EXPECT_EQ(take(schedule, 4), "");  // one asks for all
}

TEST(Schedule, MoreAtOnceWithEachSuccessAndOneAfterAFailure) {
  TestSchedule schedule(4, 100);
  for (std::uint32_t i = 0; i < 20; ++i) schedule.add("a", key(i), 0);
  EXPECT_EQ(take(schedule, 1), "a0 ");
  schedule.works("a");
  schedule.finished("a", key(0));
  EXPECT_EQ(take(schedule, 1), "a1 a2 ");
  schedule.works("a");
  schedule.works("a");
  schedule.finished("a", key(1));
  EXPECT_EQ(take(schedule, 1), "a3 a4 a5 ");
  schedule.count_failure("a");
  for (std::uint32_t i = 2; i < 5; ++i) schedule.finished("a", key(i));
  EXPECT_EQ(take(schedule, 1), "");
  schedule.finished("a", key(5));
  EXPECT_EQ(take(schedule, 1), "a6 ");
}

TEST(Schedule, DoubtfulEndpointsShareHalfOfTheSlots) {
  TestSchedule schedule(4, 4);
  for (const char* dead : {"d1", "d2", "d3", "d4"}) {
    schedule.add(dead, key(0), 0);
    schedule.count_failure(dead);
  }
  EXPECT_EQ(take(schedule, 1), "d10 d20 ");
  schedule.add("live", key(1), 0);
  schedule.add("live", key(2), 0);
  const std::string taken = take(schedule, 1);
  EXPECT_NE(taken.find("live1"), std::string::npos) << taken;
  EXPECT_LE(schedule.in_flight(), 3u);
  schedule.works("live");
  schedule.finished("live", key(1));
  EXPECT_EQ(take(schedule, 1), "live2 ");
}

TEST(Schedule, WhatIsOnDiskIsReadWhenItsTurnComes) {
  std::vector<queue::Store::Due> disk;
  for (std::uint32_t i = 0; i < 500; ++i) disk.push_back({10, {}, i});
  for (std::uint32_t i = 500; i < 505; ++i) disk.push_back({777, {}, i});
  Schedule schedule(1000, 1000, std::make_shared<queue::WindowShare>(20, 1000),
                    [&](const std::string&, const auto& after, std::size_t rows_max) {
                      queue::Store::DuePage page;
                      for (const queue::Store::Due& due : disk) {
                        if (after && due <= *after) continue;
                        if (page.rows.size() == rows_max) return page;
                        page.rows.push_back(due);
                      }
                      page.complete = true;
                      return page;
                    });
  schedule.open("a");
  EXPECT_EQ(schedule.wake_ms(), 10);
  EXPECT_LE(schedule.waiting(), 25u);
  for (std::uint32_t i = 0; i < 499; ++i) {
    const auto next = schedule.next(10);
    ASSERT_TRUE(next) << i;
    EXPECT_EQ(next->key, key(i));
    schedule.works("a");
    schedule.finished("a", next->key);
  }
  // The last of them fails and pauses the back end until 777, as five others were put off before.
  ASSERT_EQ(schedule.next(10)->key, key(499));
  schedule.count_failure("a");
  EXPECT_TRUE(schedule.pause("a", Pause::kDown, 777, key(499)));
  schedule.again("a", key(499), 777);
  EXPECT_EQ(schedule.next(10), std::nullopt);
  EXPECT_EQ(schedule.wake_ms(), 777);
  schedule.probe_now("a");
  ASSERT_TRUE(schedule.next(11));
  EXPECT_TRUE(schedule.works("a"));
  EXPECT_TRUE(schedule.next(11));
}

}  // namespace
}  // namespace tickets
