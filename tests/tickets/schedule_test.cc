#include "relayd/tickets/schedule.h"

#include <gtest/gtest.h>

#include <string>

namespace tickets {
namespace {

Key key(std::uint32_t n) { return Key{{}, n}; }

std::string take(Schedule& schedule, std::int64_t now) {
  std::string out;
  while (const auto next = schedule.next(now)) {
    out += next->destination + std::to_string(next->key.index) + " ";
  }
  return out;
}

TEST(Schedule, OrderOfDueTimeAndFairBetweenEndpoints) {
  Schedule schedule(8, 100);
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
  Schedule schedule(2, 3);
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
  Schedule schedule(8, 8);
  schedule.add("a", key(1), 100);
  schedule.add("a", key(1), 100);
  EXPECT_EQ(schedule.waiting(), 1u);
  schedule.add("a", key(1), 50);  // sooner: `queue retry`
  EXPECT_EQ(schedule.wake_ms(), 50);
  EXPECT_EQ(take(schedule, 60), "a1 ");
  schedule.add("a", key(1), 60);  // in flight
  EXPECT_EQ(take(schedule, 70), "");
  schedule.slot_free("a", key(1));
  schedule.add("a", key(1), 80);  // the operator's retry overtakes the outcome's due time
  schedule.again("a", key(1), 5000);
  EXPECT_EQ(schedule.wake_ms(), 80);
  EXPECT_EQ(take(schedule, 80), "a1 ");
  schedule.finished("a", key(1));
  EXPECT_EQ(schedule.waiting(), 0u);
  EXPECT_EQ(schedule.wake_ms(), std::nullopt);
}

TEST(Schedule, PausedEndpointIsProbedByOneAndThenAllFollow) {
  Schedule schedule(8, 8);
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
  EXPECT_EQ(take(schedule, 300), "a3 a0 a1 ");
  EXPECT_EQ(schedule.pauses("a"), 0u);
}

TEST(Schedule, LateFailuresDoNotProlongAPause) {
  Schedule schedule(8, 8);
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
  Schedule schedule(8, 8);
  schedule.add("a", key(1), 0);
  ASSERT_TRUE(schedule.next(1));
  schedule.pause("a", Pause::kRefused, 1'000'000, key(1));
  schedule.again("a", key(1), 1'000'000);
  EXPECT_EQ(take(schedule, 10), "");
  schedule.probe_now("a");
  EXPECT_EQ(take(schedule, 11), "a1 ");
}

TEST(Schedule, SlowOnesShareHalf) {
  Schedule schedule(4, 6);
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

}  // namespace
}  // namespace tickets
