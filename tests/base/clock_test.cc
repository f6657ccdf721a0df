#include "core/base/clock.h"

#include <gtest/gtest.h>

#include "core/base/limits.h"

namespace base {
namespace {

TEST(DueClock, GoesOnThroughStepsBack) {
  ManualClock real(1'000'000'000);
  const DueClock due(real);
  EXPECT_EQ(due.wall_ms(), 1'000'000'000);
  real.advance_ms(500);
  EXPECT_EQ(due.wall_ms(), 1'000'000'500);
  real.set_wall_ms(real.wall_ms() - 6 * kHour);
  EXPECT_EQ(due.wall_ms(), 1'000'000'500);
  real.advance_ms(70);
  EXPECT_EQ(due.wall_ms(), 1'000'000'570);
  // What comes back of it is taken back; what goes beyond counts.
  real.set_wall_ms(real.wall_ms() + 2 * kHour);
  EXPECT_EQ(due.wall_ms(), 1'000'000'570);
  EXPECT_EQ(due.wall_ms() - real.wall_ms(), 4 * kHour);
  real.set_wall_ms(real.wall_ms() + 5 * kHour);
  EXPECT_EQ(due.wall_ms(), 1'000'000'570 + kHour);
  EXPECT_EQ(due.wall_ms(), real.wall_ms());
}

TEST(DueClock, ForwardItFollows) {
  ManualClock real(1'000'000'000);
  const DueClock due(real);
  real.set_wall_ms(real.wall_ms() + kHour);
  EXPECT_EQ(due.wall_ms(), real.wall_ms());
  real.set_wall_ms(real.wall_ms() - kHour);
  EXPECT_EQ(due.wall_ms(), 1'000'000'000 + kHour);
}

TEST(DueClock, IsNotLedAstrayBySmallCorrections) {
  ManualClock real(1'000'000'000);
  const DueClock due(real);
  for (int i = 0; i < 100; ++i) {
    real.advance_ms(60'000);
    real.set_wall_ms(real.wall_ms() - 30);  // a clock that is led back
    EXPECT_EQ(due.wall_ms(), real.wall_ms());
  }
}

}  // namespace
}  // namespace base
