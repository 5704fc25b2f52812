#include "stats_flags.h"

#include <gtest/gtest.h>

namespace millrace::tool {
namespace {

TEST(StatsFlags, TellDeadFromConstant) {
  Statistics zero;
  zero.count = zero.zeros = 4;
  EXPECT_EQ(channel_flags_of(zero), "dead");
  Statistics same;
  same.count = 4;
  same.min = same.max = 0.5;
  EXPECT_EQ(channel_flags_of(same), "constant");
  same.nan = 1;
  EXPECT_EQ(channel_flags_of(same), "NaN 1") << "not all of them are the same";
  Statistics one;
  one.count = 1;
  one.min = one.max = 0.5;
  EXPECT_EQ(channel_flags_of(one), "") << "one element alone says nothing";
  EXPECT_EQ(channel_flags_of(Statistics()), "");
  TensorStatistics tensor{zero, {zero, one, zero}};
  EXPECT_EQ(tensor_flags_of(tensor, {SplitKind::channels, 1, 3, 4}, 0), "all-zero, 2 of 3 channels dead");
  EXPECT_EQ(tensor_flags_of({one, {}}, {SplitKind::no_dimension, 1, 1, 1}, -2), "no dimension -2");
}

}  // namespace
}  // namespace millrace::tool
