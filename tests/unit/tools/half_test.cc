#include "half.h"

#include <bit>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "random.h"

namespace millrace::tool {
namespace {

TEST(Half, EveryF16GoesToF32AndBack) {
  for (std::uint32_t bits = 0; bits < 0x10000U; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float value = from_f16(half);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(from_f16(to_f16(value))));
    } else {
      ASSERT_EQ(to_f16(value), half) << value;
    }
  }
}

TEST(Half, EveryBf16GoesToF32AndBack) {
  for (std::uint32_t bits = 0; bits < 0x10000U; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float value = from_bf16(half);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(from_bf16(to_bf16(value))));
    } else {
      ASSERT_EQ(to_bf16(value), half) << value;
    }
  }
}

TEST(Half, KnownValues) {
  EXPECT_EQ(from_f16(0x3C00), 1.0F);
  EXPECT_EQ(from_f16(0x7BFF), 65504.0F);
  EXPECT_EQ(from_f16(0x0001), 0x1p-24F);
  EXPECT_EQ(to_f16(65519.0F), 0x7BFF);
  EXPECT_EQ(to_f16(65520.0F), 0x7C00);
  EXPECT_EQ(to_f16(-1e30F), 0xFC00);
  EXPECT_EQ(from_bf16(0x3F80), 1.0F);
}

/// The nearest of the two neighbours, the even one in the middle.
TEST(Half, RoundsToNearestEven) {
  Random random(1);
  for (int i = 0; i < 100'000; ++i) {
    const auto below = static_cast<std::uint16_t>(random.below(0x7BFF));
    const auto above = static_cast<std::uint16_t>(below + 1);
    const double low = static_cast<double>(from_f16(below));
    const double high = static_cast<double>(from_f16(above));
    const auto value = static_cast<float>(low + (high - low) * random.unit());
    const double exact = static_cast<double>(value);
    const std::uint16_t even = below % 2 == 0 ? below : above;
    const std::uint16_t nearest = exact - low < high - exact   ? below
                                  : exact - low > high - exact ? above
                                                               : even;
    ASSERT_EQ(to_f16(value), nearest) << value;
  }
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0x3F808000U)), 0x3F80);
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0x3F818000U)), 0x3F82);
  EXPECT_EQ(to_bf16(std::bit_cast<float>(0x3F808001U)), 0x3F81);
}

}  // namespace
}  // namespace millrace::tool
