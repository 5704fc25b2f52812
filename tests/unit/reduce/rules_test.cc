// NumPy's rules by hand, and the errors of long sums, through planner and loops.
#include <gtest/gtest.h>
// Which sets the loops are compiled for decides what Highway finds below.
#include "backends/host/reduce/targets.h"

#include <hwy/detect_targets.h>
#include <hwy/targets.h>

#include <algorithm>
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
  if constexpr (std::is_same_v<T, std::int16_t>) return DType::i16;
  if constexpr (std::is_same_v<T, std::int8_t>) return DType::i8;
  if constexpr (std::is_same_v<T, std::uint8_t>) return DType::u8;
}

/// The reduction of a dense tensor, in the result's type.
template <typename Result, typename T>
std::vector<Result> reduced(ReduceOp op, std::vector<T> values, const Dims& shape,
                            const std::vector<std::int64_t>& dims, DType dtype = dtype_of<T>(),
                            const ReduceOptions& options = {}) {
  const Dims result = result_shape(shape, dims, false);
  std::vector<Result> output(static_cast<std::size_t>(element_count(result)));
  test::run_directly(reduction_operation(op, contiguous(values.data(), dtype, shape),
                                         contiguous(output.data(), result_dtype(op, dtype), result), dims,
                                         options));
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

TEST(Rules, PositionsAreOfTheFirstBest) {
  const std::vector<float> values{3, 1, 4, 1, 4, 2};
  EXPECT_EQ(of_all<std::int64_t>(ReduceOp::argmin, values), 1);
  EXPECT_EQ(of_all<std::int64_t>(ReduceOp::argmax, values), 2);
  EXPECT_EQ(of_all<std::int64_t>(ReduceOp::argmax, std::vector<float>{-0.0F, 0.0F}), 0);
  EXPECT_EQ(of_all<std::int64_t>(ReduceOp::argmax, std::vector<std::uint8_t>{0, 1, 1}, DType::boolean), 1);
  EXPECT_EQ(of_all<std::int64_t>(ReduceOp::argmin, std::vector<std::int64_t>{kMost, kLowest, kLowest}), 1);
  // Everything is the worst there is: it is still the first.
  EXPECT_EQ(of_all<std::int64_t>(ReduceOp::argmin, std::vector<float>(3000, kInf)), 0);
  EXPECT_EQ(of_all<std::int64_t>(ReduceOp::argmax, std::vector<std::int64_t>(3000, kLowest)), 0);
}

TEST(Rules, TheFirstNaNWinsPositionsFromEveryPlace) {
  for (const std::size_t n : {1U, 3U, 63U, 64U, 65U, 2048U, 5000U}) {
    for (std::size_t at = 0; at<n; at += n> 100 ? 61 : 1) {
      std::vector<float> values(n, 1);
      values[at] = kNan;
      values[n - 1] = kNan;
      ASSERT_EQ(of_all<std::int64_t>(ReduceOp::argmin, values), at) << n;
      ASSERT_EQ(of_all<std::int64_t>(ReduceOp::argmax, values), at) << n;
    }
  }
}

template <typename T>
void expect_first_of_two_equals(T ordinary, T best) {
  constexpr std::size_t kCount = 300;  // some vectors, and a rest
  for (std::size_t first = 0; first < kCount; first += 7) {
    for (std::size_t second = first; second < kCount; ++second) {
      std::vector<T> values(kCount, ordinary);
      values[first] = values[second] = best;
      ASSERT_EQ(of_all<std::int64_t>(ReduceOp::argmax, values), first) << second;
      for (T& value : values) value = -value;
      ASSERT_EQ(of_all<std::int64_t>(ReduceOp::argmin, values), first) << second;
    }
  }
}

TEST(Rules, TheFirstOfTwoEqualsWinsFromEveryPairOfPlaces) {
  expect_first_of_two_equals<float>(-1, 5);
  expect_first_of_two_equals<double>(-1, 5);
  expect_first_of_two_equals<std::int32_t>(-1, 5);
}

// Rows that follow each other in memory are combined several at a time.
TEST(Rules, ShortRowsOfEveryLength) {
  for (std::int64_t n = 1; n <= 70; ++n) {
    constexpr std::int64_t kRows = 37;
    std::vector<float> values(static_cast<std::size_t>(kRows * n));
    std::vector<std::uint16_t> narrow(values.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>(i * 2654435761U % 8);
      narrow[i] = host::bfloat_from_float(values[i]);
    }
    const auto sums = reduced<float>(ReduceOp::sum, values, Dims{kRows, n}, {1});
    const auto narrow_sums = reduced<std::uint16_t>(ReduceOp::sum, narrow, Dims{kRows, n}, {1}, DType::bf16);
    const auto highest = reduced<std::uint16_t>(ReduceOp::max, narrow, Dims{kRows, n}, {1}, DType::bf16);
    for (std::int64_t row = 0; row < kRows; ++row) {
      const auto first = values.begin() + row * n;
      const auto at = static_cast<std::size_t>(row);
      const float sum = std::accumulate(first, first + n, 0.0F);  // of small integers: exact
      ASSERT_EQ(sums[at], sum) << n << " " << row;
      ASSERT_EQ(narrow_sums[at], host::bfloat_from_float(sum)) << n << " " << row;
      ASSERT_EQ(host::float_from_bfloat(highest[at]), *std::max_element(first, first + n)) << n << " " << row;
    }
  }
}

// Positions count through the reduced dimensions in order, whichever of them are dense.
TEST(Rules, PositionsOverSeveralDimensions) {
  std::vector<float> values(2 * 300 * 5 * 40);
  const auto at = [](std::size_t a, std::size_t b, std::size_t c, std::size_t d) {
    return ((a * 300 + b) * 5 + c) * 40 + d;
  };
  values[at(0, 299, 3, 7)] = 1;
  values[at(1, 2, 3, 7)] = 2;
  values[at(1, 200, 4, 39)] = 2;
  const Dims shape{2, 300, 5, 40};
  EXPECT_EQ(reduced<std::int64_t>(ReduceOp::argmax, values, shape, {}).front(), at(1, 2, 3, 7));
  const auto over = [&](std::vector<std::int64_t> dims) {
    return reduced<std::int64_t>(ReduceOp::argmax, values, shape, dims);
  };
  EXPECT_EQ(over({0, 1})[3 * 40 + 7], 300 + 2);
  EXPECT_EQ(over({1, 3})[3], 299 * 40 + 7);
  EXPECT_EQ(over({3, 1})[5 + 4], 200 * 40 + 39);  // the order of dims does not count
  EXPECT_EQ(over({2})[at(1, 2, 0, 7) / 200 * 40 + 7], 3);
}

TEST(Rules, PositionsInReversedAndTransposedViews) {
  std::vector<float> values{5, 9, 1, 9, 2, 3};
  std::int64_t position = -1;
  const auto argmax = [&](TensorView view) {
    test::run_directly(
        reduction_operation(ReduceOp::argmax, view, contiguous(&position, DType::i64, Dims{}), {}));
    return position;
  };
  EXPECT_EQ(argmax({values.data() + 5, DType::f32, Dims{6}, Dims{-1}}), 2);
  // Columns first: 5 9 / 9 2 / 1 3.
  EXPECT_EQ(argmax({values.data(), DType::f32, Dims{3, 2}, Dims{1, 3}}), 1);
  EXPECT_EQ(argmax({values.data() + 2, DType::f32, Dims{3, 2}, Dims{-1, 3}}), 2);
}

TEST(Rules, PositionsWithTheirValues) {
  std::vector<std::int16_t> values{3, -7, 5, 5, 2, -9};
  // Results from the last to the first, every other place.
  std::vector<std::int64_t> positions(5, -1);
  std::vector<std::int16_t> found(5, 0);
  const TensorView input = contiguous(values.data(), DType::i16, Dims{3, 2});
  const auto run = [&](ReduceOp op) {
    test::run_directly(positions_operation(op, input, {found.data() + 4, DType::i16, Dims{3}, Dims{-2}},
                                           {positions.data() + 4, DType::i64, Dims{3}, Dims{-2}},
                                           std::vector<std::int64_t>{1}));
  };
  run(ReduceOp::argmin);
  EXPECT_EQ(positions, (std::vector<std::int64_t>{1, -1, 0, -1, 1}));
  EXPECT_EQ(found, (std::vector<std::int16_t>{-9, 0, 5, 0, -7}));
  run(ReduceOp::argmax);
  EXPECT_EQ(positions, (std::vector<std::int64_t>{0, -1, 0, -1, 0}));
  EXPECT_EQ(found, (std::vector<std::int16_t>{2, 0, 5, 0, 3}));
  EXPECT_THROW(run(ReduceOp::max), Error);
}

TEST(Rules, TheValueIsThatOfThePosition) {
  std::vector<float> values(16, 5);
  values[1] = 0.0F;
  values[8] = -0.0F;  // equal, and in another lane
  std::int64_t position = -1;
  float found = 1;
  test::run_directly(positions_operation(ReduceOp::argmin, contiguous(values.data(), DType::f32, Dims{16}),
                                         contiguous(&found, DType::f32, Dims{}),
                                         contiguous(&position, DType::i64, Dims{}), {}));
  EXPECT_EQ(position, 1);
  EXPECT_FALSE(std::signbit(found));
}

TEST(Rules, AnyAndAll) {
  EXPECT_EQ(of_all<std::uint8_t>(ReduceOp::any, std::vector<float>{}), 0);
  EXPECT_EQ(of_all<std::uint8_t>(ReduceOp::all, std::vector<float>{}), 1);
  EXPECT_EQ(of_all<std::uint8_t>(ReduceOp::any, std::vector<float>{0, -0.0F}), 0);
  EXPECT_EQ(of_all<std::uint8_t>(ReduceOp::any, std::vector<float>{0, kNan}), 1);
  EXPECT_EQ(of_all<std::uint8_t>(ReduceOp::all, std::vector<float>{kNan, kInf, 1}), 1);
  std::vector<std::int16_t> values(10'000, 256);
  EXPECT_EQ(of_all<std::uint8_t>(ReduceOp::all, values), 1);
  values[7777] = 0;
  EXPECT_EQ(of_all<std::uint8_t>(ReduceOp::all, values), 0);
}

TEST(Rules, VarianceOverCountLessCorrection) {
  const std::vector<float> values{1, 2, 3, 6};
  const auto variance = [&](ReduceOp op, double correction) {
    return reduced<float>(op, values, Dims{4}, {}, DType::f32, {.correction = correction}).front();
  };
  EXPECT_EQ(variance(ReduceOp::var, 0), 3.5F);
  EXPECT_EQ(variance(ReduceOp::var, 2), 7);
  EXPECT_EQ(variance(ReduceOp::std, 0), std::sqrt(3.5F));
  EXPECT_EQ(variance(ReduceOp::var, 4), kInf);
  EXPECT_EQ(variance(ReduceOp::var, 9), kInf);
  EXPECT_TRUE(std::isnan(of_all<float>(ReduceOp::var, std::vector<float>{})));
  EXPECT_TRUE(std::isnan(of_all<float>(ReduceOp::std, std::vector<float>{1, kInf})));
  EXPECT_EQ(of_all<float>(ReduceOp::var, std::vector<float>(5000, 0.1F)), 0);
  EXPECT_EQ(of_all<double>(ReduceOp::var, std::vector<std::int32_t>{1, 3}), 1);
}

TEST(Rules, ASmallVarianceFarFromZero) {
  std::vector<float> values(100'000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = 16'000'000 + static_cast<float>(i % 2);
  EXPECT_EQ(of_all<float>(ReduceOp::var, values), 0.25F);
  EXPECT_EQ(reduced<float>(ReduceOp::var, values, Dims{25'000, 4}, {0}), (std::vector<float>(4, 0)));
}

TEST(Rules, AVarianceNearWhatDoublesHold) {
  std::vector<double> values(2048, 1e152);
  for (const std::size_t zero : {0, 512, 1024, 1536}) values[zero] = 0;
  const double mean = 1e152 * 2044 / 2048;
  const double expected = (2044 * (1e152 - mean) * (1e152 - mean) + 4 * mean * mean) / 2048;
  EXPECT_NEAR(of_all<double>(ReduceOp::var, values), expected, 1e-9 * expected);
  EXPECT_EQ(of_all<double>(ReduceOp::var, std::vector<double>{1e200, -1e200}),
            std::numeric_limits<double>::infinity());
}

TEST(Rules, NormAndCounts) {
  EXPECT_EQ(of_all<float>(ReduceOp::norm, std::vector<float>{3, -4}), 5);
  EXPECT_EQ(of_all<float>(ReduceOp::norm, std::vector<float>{}), 0);
  EXPECT_EQ(of_all<double>(ReduceOp::norm, std::vector<std::int8_t>{-128, 0}), 128);
  EXPECT_TRUE(std::isnan(of_all<float>(ReduceOp::norm, std::vector<float>{kInf, kNan})));
  const std::vector<float> values{0, -0.0F, kNan, kInf, -kInf, 1, kNan};
  EXPECT_EQ(of_all<std::int64_t>(ReduceOp::count_zero, values), 2);
  EXPECT_EQ(of_all<std::int64_t>(ReduceOp::count_nan, values), 2);
  EXPECT_EQ(of_all<std::int64_t>(ReduceOp::count_inf, values), 2);
  EXPECT_EQ(of_all<std::int64_t>(ReduceOp::count_nan, std::vector<float>{}), 0);
  EXPECT_EQ(of_all<std::int64_t>(ReduceOp::count_inf, std::vector<std::int32_t>{0, 1}), 0);
}

/// Has the loops run in each instruction set that they were compiled for and this processor has.
///
/// Thread safety: one at a time in a process, and no reduction beside a change of the set.
class InstructionSets {
 public:
  InstructionSets() = default;
  InstructionSets(const InstructionSets&) = delete;
  InstructionSets& operator=(const InstructionSets&) = delete;
  ~InstructionSets() { hwy::SetSupportedTargetsForTest(0); }

  /// Calls body() once in each.
  template <typename Body>
  void in_each(Body body) const {
    for (std::int64_t left = sets_; left != 0; left &= left - 1) {
      const std::int64_t set = left & -left;
      SCOPED_TRACE(hwy::TargetName(set));
      hwy::SetSupportedTargetsForTest(set);
      body();
    }
  }

 private:
  const std::int64_t sets_ = hwy::SupportedTargets() & HWY_TARGETS;
};

// One chain of additions in f32 stops growing at 2^24 * 0.1 / 2 and would be off by far more. Narrow vectors
// make no longer chains: the errors are as small on every processor.
TEST(Errors, OfLongSumsStaySmall) {
  const std::int64_t n = 1 << 24;
  const std::vector<float> values(static_cast<std::size_t>(n), 0.1F);
  const double expected = static_cast<double>(0.1F) * static_cast<double>(n);
  InstructionSets().in_each([&] {
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
  });
}

}  // namespace
}  // namespace millrace
