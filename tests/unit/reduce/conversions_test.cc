// f16 and bf16, every value of them, against what their definitions say.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "backends/host/reduce/element.h"

namespace millrace::host {
namespace {

/// sign * 2^(exponent - bias) * 1.mantissa, as IEEE 754 words it, in double, where it is exact.
double by_definition(std::uint32_t bits, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const auto mantissa = static_cast<double>(bits & ((1U << mantissa_bits) - 1));
  const int exponent = static_cast<int>((bits >> mantissa_bits) & ((1U << exponent_bits) - 1));
  const double sign = (bits >> (exponent_bits + mantissa_bits)) != 0 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) {
    return mantissa == 0 ? sign * std::numeric_limits<double>::infinity()
                         : std::numeric_limits<double>::quiet_NaN();
  }
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
  return sign * std::ldexp(mantissa + std::ldexp(1, mantissa_bits), exponent - bias - mantissa_bits);
}

struct Format {
  const char* name;
  int exponent_bits, mantissa_bits;
  float (*widen)(std::uint16_t);
  std::uint16_t (*narrow)(float);
};

class SixteenBits : public testing::TestWithParam<Format> {
 protected:
  std::uint32_t infinity() const {
    return ((1U << GetParam().exponent_bits) - 1) << GetParam().mantissa_bits;
  }
};

TEST_P(SixteenBits, WidensEveryValueExactly) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const double expected = by_definition(bits, GetParam().exponent_bits, GetParam().mantissa_bits);
    const float got = GetParam().widen(static_cast<std::uint16_t>(bits));
    ASSERT_EQ(std::signbit(got), (bits & 0x8000) != 0) << bits;
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(got)) << bits;
    } else {
      ASSERT_EQ(static_cast<double>(got), expected) << bits;
    }
  }
}

TEST_P(SixteenBits, NarrowsEveryValueToItself) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto value = static_cast<std::uint16_t>(bits);
    const std::uint16_t got = GetParam().narrow(GetParam().widen(value));
    if ((bits & 0x7fff) > infinity()) {
      ASSERT_GT(got & 0x7fffU, infinity()) << "not NaN any more: " << bits;
      ASSERT_EQ(got & 0x8000, bits & 0x8000) << bits;
    } else {
      ASSERT_EQ(got, bits);
    }
  }
}

// Half-way between two neighbours the even one wins; a float nearer to one of them goes there. The
// half-way past the largest finite value rounds to infinity.
TEST_P(SixteenBits, RoundsToNearestEven) {
  const float unbounded = std::numeric_limits<float>::infinity();
  for (std::uint32_t low = 0; low < infinity(); ++low) {
    const std::uint32_t high = low + 1;
    const double below = by_definition(low, GetParam().exponent_bits, GetParam().mantissa_bits);
    const double step =
        std::ldexp(1, std::max<int>(static_cast<int>(low >> GetParam().mantissa_bits), 1) -
                          (1 << (GetParam().exponent_bits - 1)) + 1 - GetParam().mantissa_bits);
    const auto half_way = static_cast<float>(below + step / 2);
    ASSERT_EQ(static_cast<double>(half_way), below + step / 2) << "the test needs an exact middle";
    for (const float sign : {1.0F, -1.0F}) {
      const std::uint32_t bit = sign < 0 ? 0x8000U : 0;
      ASSERT_EQ(GetParam().narrow(sign * half_way), ((low & 1) == 0 ? low : high) | bit) << low;
      ASSERT_EQ(GetParam().narrow(sign * std::nextafter(half_way, 0.0F)), low | bit) << low;
      ASSERT_EQ(GetParam().narrow(sign * std::nextafter(half_way, unbounded)), high | bit) << low;
    }
  }
}

TEST_P(SixteenBits, KeepsWhatIsOutOfRange) {
  using Limits = std::numeric_limits<float>;
  EXPECT_EQ(GetParam().narrow(Limits::infinity()), infinity());
  EXPECT_EQ(GetParam().narrow(-Limits::infinity()), infinity() | 0x8000);
  EXPECT_EQ(GetParam().narrow(Limits::max()), infinity());
  EXPECT_EQ(GetParam().narrow(-0.0F), 0x8000);
  // A NaN whose payload lies in the bits that are cut off must not become infinity.
  EXPECT_GT(GetParam().narrow(std::bit_cast<float>(0x7f800001U)) & 0x7fffU, infinity());
  EXPECT_GT(GetParam().narrow(std::bit_cast<float>(0xffffffffU)) & 0x7fffU, infinity());
}

INSTANTIATE_TEST_SUITE_P(
    Formats, SixteenBits,
    testing::Values(Format{"f16", 5, 10, [](std::uint16_t v) { return float_from_half(v); },
                           [](float v) { return half_from_float(v); }},
                    Format{"bf16", 8, 7, [](std::uint16_t v) { return float_from_bfloat(v); },
                           [](float v) { return bfloat_from_float(v); }}),
    [](const auto& param) { return param.param.name; });

}  // namespace
}  // namespace millrace::host
