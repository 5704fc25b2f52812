#include "memory/size_class.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

TEST(SizeClass, IsTheSmallestThatFits) {
  for (std::size_t units = 1; units <= SizeClass::kMaxUnits; ++units) {
    const int size_class = SizeClass::of(units);
    ASSERT_GE(size_class, 0);
    ASSERT_LT(size_class, SizeClass::kCount);
    ASSERT_GE(SizeClass::units(size_class), units);
    if (size_class > 0) {
      ASSERT_LT(SizeClass::units(size_class - 1), units);
    }
  }
}

TEST(SizeClass, RoundsUpByAnEighthAtMost) {
  for (std::size_t units = 1; units <= SizeClass::kMaxUnits; ++units) {
    const std::size_t rounded = SizeClass::units(SizeClass::of(units));
    ASSERT_LE((rounded - units) * 8, units) << units;
  }
}

TEST(SizeClass, PowersOfTwoAreNotRounded) {
  for (std::size_t units = 1; units <= SizeClass::kMaxUnits; units *= 2) {
    EXPECT_EQ(SizeClass::units(SizeClass::of(units)), units);
  }
}

}  // namespace
}  // namespace millrace
