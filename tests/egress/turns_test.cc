#include "relayd/egress/turns.h"

#include <gtest/gtest.h>

namespace egress {
namespace {

using Kind = Turns::Kind;

TEST(Turns, OneTenantsCrowdGetsEverySecondTurn) {
  Turns turns(2);
  EXPECT_TRUE(turns.begin(Kind::kFirst, "crowd", "c1"));
  EXPECT_TRUE(turns.begin(Kind::kFirst, "crowd", "c2"));
  for (const char* lane : {"c3", "c4", "c5"})
    EXPECT_FALSE(turns.begin(Kind::kFirst, "crowd", lane));
  EXPECT_FALSE(turns.begin(Kind::kFirst, "crowd", "c3"));  // stands in line already
  EXPECT_FALSE(turns.begin(Kind::kFirst, "small", "s1"));
  EXPECT_EQ(turns.next(), std::nullopt);
  EXPECT_TRUE(turns.somebody_waits());
  std::string order;
  for (int i = 0; i < 4; ++i) {
    turns.end(Kind::kFirst);
    const auto lane = turns.next();
    ASSERT_TRUE(lane);
    order += *lane + " ";
    EXPECT_TRUE(turns.begin(Kind::kFirst, "whoever", *lane));
  }
  EXPECT_EQ(order, "c3 s1 c4 c5 ");
  EXPECT_FALSE(turns.somebody_waits());
  turns.end(Kind::kFirst);
  EXPECT_EQ(turns.next(), std::nullopt);
}

TEST(Turns, TheDoubtfulHoldHalfAndFurtherOnesLeaveSome) {
  Turns turns(8);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(turns.begin(Kind::kDoubtful, "t", std::to_string(i)));
  EXPECT_FALSE(turns.begin(Kind::kDoubtful, "t", "dead"));
  EXPECT_TRUE(turns.begin(Kind::kFurther, "t", "f1"));
  EXPECT_TRUE(turns.begin(Kind::kFurther, "t", "f2"));
  EXPECT_FALSE(turns.begin(Kind::kFurther, "t", "f3"));
  EXPECT_TRUE(turns.begin(Kind::kFirst, "t", "a"));
  EXPECT_TRUE(turns.begin(Kind::kFirst, "t", "b"));
  EXPECT_FALSE(turns.begin(Kind::kFirst, "t", "c"));
  EXPECT_EQ(turns.connections(), 8U);
  turns.end(Kind::kDoubtful);
  EXPECT_EQ(turns.next(), "c");     // goes before the doubtful
  EXPECT_EQ(turns.next(), "dead");  // there is room for it still, if c has no more to send
  EXPECT_EQ(turns.next(), std::nullopt);
}

}  // namespace
}  // namespace egress
