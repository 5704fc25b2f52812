// NumPy's rules by hand, and the errors of long sums, through planner and loops.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <type_traits>
#include <variant>
#include <vector>

#include "backends/host/reduce/element.h"
#include "reduce/plan.h"
#include "support/run_directly.h"

namespace millrace {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr std::int64_t kLowest = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

template <typename T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, double>) return DType::f64;
  if constexpr (std::is_same_v<T, float>) return DType::f32;
  if constexpr (std::is_same_v<T, std::int64_t>) return DType::i64;
  if constexpr (std::is_same_v<T, std::int32_t>) return DType::i32;
  if constexpr (std::is_same_v<T, std::int8_t>) return DType::i8;
  if constexpr (std::is_same_v<T, std::uint8_t>) return DType::u8;
}

/// The reduction of a dense tensor, in the result's type.
template <typename Result, typename T>
std::vector<Result> reduced(ReduceOp op, std::vector<T> values, const Dims& shape,
                            const std::vector<std::int64_t>& dims, DType dtype = dtype_of<T>()) {
  const Dims result = result_shape(shape, dims, false);
  std::vector<Result> output(static_cast<std::size_t>(element_count(result)));
  test::run_directly(reduction_operation(op, contiguous(values.data(), dtype, shape),
                                         contiguous(output.data(), result_dtype(op, dtype), result), dims));
  return output;
}

template <typename Result, typename T>
Result of_all(ReduceOp op, const std::vector<T>& values, DType dtype = dtype_of<T>()) {
  return reduced<Result>(op, values, Dims{static_cast<std::int64_t>(values.size())}, {}, dtype).front();
}

TEST(Rules, TheSumOfNothingIsZeroItsProductOneItsMeanNaN) {
  EXPECT_EQ(of_all<float>(ReduceOp::sum, std::vector<float>{}), 0);
  EXPECT_EQ(of_all<float>(ReduceOp::prod, std::vector<float>{}), 1);
  EXPECT_TRUE(std::isnan(of_all<float>(ReduceOp::mean, std::vector<float>{})));
  EXPECT_EQ(of_all<std::int64_t>(ReduceOp::sum, std::vector<std::int8_t>{}), 0);
  EXPECT_EQ(of_all<std::int64_t>(ReduceOp::prod, std::vector<std::int8_t>{}), 1);
  EXPECT_TRUE(std::isnan(of_all<double>(ReduceOp::mean, std::vector<std::int32_t>{})));
  EXPECT_EQ(reduced<float>(ReduceOp::sum, std::vector<float>{}, Dims{2, 0, 3}, {1}),
            std::vector<float>(6, 0));
}

// At every place of short and long runs, so that lanes, tails and first elements are all met.
TEST(Rules, NaNWinsMinAndMaxFromEveryPlace) {
  for (const std::size_t n : {1U, 3U, 4U, 31U, 32U, 33U, 1024U, 1500U}) {
    for (std::size_t at = 0; at < n; ++at) {
      std::vector<float> values(n, 1);
      values[at] = kNan;
      ASSERT_TRUE(std::isnan(of_all<float>(ReduceOp::min, values))) << at << " of " << n;
      ASSERT_TRUE(std::isnan(of_all<float>(ReduceOp::max, values))) << at << " of " << n;
    }
  }
}

TEST(Rules, NaNWinsInItsColumnOnly) {
  std::vector<float> values(100 * 9, 2);
  values[50 * 9 + 4] = kNan;
  const std::vector<float> columns = reduced<float>(ReduceOp::max, values, Dims{100, 9}, {0});
  for (std::size_t i = 0; i < 9; ++i) EXPECT_EQ(std::isnan(columns[i]), i == 4) << i;
}

TEST(Rules, InfinitiesAddAndCancel) {
  EXPECT_EQ(of_all<float>(ReduceOp::sum, std::vector<float>{1, kInf, 2}), kInf);
  EXPECT_TRUE(std::isnan(of_all<float>(ReduceOp::sum, std::vector<float>{kInf, 1, -kInf})));
  EXPECT_EQ(of_all<float>(ReduceOp::mean, std::vector<float>{-kInf, 1}), -kInf);
  EXPECT_TRUE(std::isnan(of_all<float>(ReduceOp::prod, std::vector<float>{kInf, 0})));
  EXPECT_EQ(of_all<float>(ReduceOp::min, std::vector<float>{kInf, kInf}), kInf);
  EXPECT_EQ(of_all<float>(ReduceOp::max, std::vector<float>{-kInf, -kInf}), -kInf);
}

TEST(Rules, IntegersWrap) {
  EXPECT_EQ(of_all<std::int64_t>(ReduceOp::sum, std::vector<std::int64_t>{kMost, 1}), kLowest);
  EXPECT_EQ(of_all<std::int64_t>(ReduceOp::prod, std::vector<std::int64_t>{kLowest, -1}), kLowest);
  EXPECT_EQ(of_all<std::int64_t>(ReduceOp::prod, std::vector<std::int32_t>(64, -2)), 0);
  EXPECT_EQ(of_all<std::int64_t>(ReduceOp::prod, std::vector<std::int8_t>(63, -2)), kLowest);
  EXPECT_EQ(of_all<std::int64_t>(ReduceOp::min, std::vector<std::int64_t>{kMost, kLowest}), kLowest);
  EXPECT_EQ(of_all<std::int64_t>(ReduceOp::max, std::vector<std::int64_t>{kLowest, kLowest}), kLowest);
}

TEST(Rules, SmallIntegersAreSummedWithoutOverflow) {
  const std::size_t n = 3'000'000;
  const auto signed_n = static_cast<std::int64_t>(n);
  EXPECT_EQ(of_all<std::int64_t>(ReduceOp::sum, std::vector<std::int8_t>(n, -128)), -128 * signed_n);
  EXPECT_EQ(of_all<std::int64_t>(ReduceOp::sum, std::vector<std::uint8_t>(n, 255)), 255 * signed_n);
  EXPECT_EQ(of_all<double>(ReduceOp::mean, std::vector<std::int32_t>(n, 2'000'000'000)), 2e9);
  const std::vector<std::int64_t> columns =
      reduced<std::int64_t>(ReduceOp::sum, std::vector<std::uint8_t>(n, 255), Dims{signed_n / 3, 3}, {0});
  EXPECT_EQ(columns, std::vector<std::int64_t>(3, 255 * signed_n / 3));
}

TEST(Rules, BooleansCountAndStayBooleans) {
  const std::vector<std::uint8_t> values{1, 0, 1, 1};
  EXPECT_EQ(of_all<std::int64_t>(ReduceOp::sum, values, DType::boolean), 3);
  EXPECT_EQ(of_all<std::int64_t>(ReduceOp::prod, values, DType::boolean), 0);
  EXPECT_EQ(of_all<double>(ReduceOp::mean, values, DType::boolean), 0.75);
  EXPECT_EQ(of_all<std::uint8_t>(ReduceOp::min, values, DType::boolean), 0);
  EXPECT_EQ(of_all<std::uint8_t>(ReduceOp::max, values, DType::boolean), 1);
}

// 70,000 is past f16; the sum rounds to infinity but the mean, kept in f32 until the end, does not.
TEST(Rules, HalfSumsOverflowOnlyAtTheEnd) {
  const std::vector<std::uint16_t> values(70, host::half_from_float(1000));
  EXPECT_EQ(of_all<std::uint16_t>(ReduceOp::sum, values, DType::f16), 0x7c00);
  EXPECT_EQ(host::float_from_half(of_all<std::uint16_t>(ReduceOp::mean, values, DType::f16)), 1000);
  std::vector<std::uint16_t> cancelling = values;
  cancelling.insert(cancelling.end(), 70, host::half_from_float(-1000));
  EXPECT_EQ(of_all<std::uint16_t>(ReduceOp::sum, cancelling, DType::f16), 0);
}

TEST(Rules, AScalarIsItself) {
  EXPECT_EQ(reduced<float>(ReduceOp::sum, std::vector<float>{4.5F}, Dims{}, {}).front(), 4.5F);
  EXPECT_EQ(reduced<float>(ReduceOp::min, std::vector<float>{4.5F}, Dims{1, 1, 1}, {1}).front(), 4.5F);
}

// One chain of additions in f32 stops growing at 2^24 * 0.1 / 2 and would be off by far more.
TEST(Errors, OfLongSumsStaySmall) {
  const std::int64_t n = 1 << 24;
  const std::vector<float> values(static_cast<std::size_t>(n), 0.1F);
  const double expected = static_cast<double>(0.1F) * static_cast<double>(n);
  EXPECT_NEAR(of_all<float>(ReduceOp::sum, values), expected, 5e-7 * expected);
  for (const std::int64_t width : {2, 32, 3000}) {
    const std::int64_t rows = n / width;
    const double column = static_cast<double>(0.1F) * static_cast<double>(rows);
    std::vector<float> part(values.begin(), values.begin() + rows * width);
    for (const float sum : reduced<float>(ReduceOp::sum, part, Dims{rows, width}, {0})) {
      ASSERT_NEAR(sum, column, 4e-7 * column) << width;
    }
    for (const float sum : reduced<float>(ReduceOp::sum, part, Dims{width, rows}, {1})) {
      ASSERT_NEAR(sum, column, 4e-7 * column) << width;
    }
  }
}

}  // namespace
}  // namespace millrace
