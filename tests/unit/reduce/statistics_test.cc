// One pass of statistics: exact counts and extremes, sums of the finite values only, and putting parts
// together.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include <millrace/reduction.h>

#include "reduce/plan.h"
#include "support/run_directly.h"

namespace millrace {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

Statistics of(TensorView view) {
  Statistics result;
  test::run_directly(statistics_operation(view, &result));
  return result;
}

template <typename T>
Statistics of(std::vector<T> values, DType dtype) {
  return of(contiguous(values.data(), dtype, Dims{static_cast<std::int64_t>(values.size())}));
}

TEST(StatisticsPass, SeesOnlyWhatIsFinite) {
  const Statistics s = of(std::vector<float>{1, kNan, -3, kInf, 0, -0.0F, -kInf, 4}, DType::f32);
  EXPECT_EQ(s.count, 8);
  EXPECT_EQ(s.nan, 1);
  EXPECT_EQ(s.inf, 2);
  EXPECT_EQ(s.zeros, 2);
  EXPECT_EQ(s.finite(), 5);
  EXPECT_EQ(s.sum, 2);
  EXPECT_DOUBLE_EQ(s.mean, 0.4);
  EXPECT_EQ(s.min, -3);
  EXPECT_EQ(s.max, 4);
  EXPECT_EQ(s.absmax, 4);
  EXPECT_DOUBLE_EQ(s.m2, 26 - 5 * 0.4 * 0.4);
  EXPECT_DOUBLE_EQ(standard_deviation(s), std::sqrt(s.m2 / 5));
}

TEST(StatisticsPass, NothingFiniteHasNoExtremes) {
  for (const std::vector<float>& values : {std::vector<float>{}, std::vector<float>(5000, kNan)}) {
    const Statistics s = of(values, DType::f32);
    EXPECT_EQ(s.count, static_cast<std::int64_t>(values.size()));
    EXPECT_EQ(s.nan, s.count);
    EXPECT_EQ(s.sum, 0);
    EXPECT_EQ(s.mean, 0);
    EXPECT_EQ(s.min, kInf);
    EXPECT_EQ(s.max, -kInf);
    EXPECT_EQ(s.absmax, 0);
    EXPECT_TRUE(std::isnan(standard_deviation(s)));
  }
}

TEST(StatisticsPass, FindsASingleOddValueAnywhere) {
  for (const std::size_t n : {1U, 7U, 8U, 9U, 2047U, 2048U, 2049U, 4100U}) {
    for (const std::size_t at : {std::size_t{0}, n / 2, n - 1}) {
      std::vector<float> values(n, 1);
      values[at] = kNan;
      EXPECT_EQ(of(values, DType::f32).nan, 1) << at << " of " << n;
      values[at] = -kInf;
      EXPECT_EQ(of(values, DType::f32).inf, 1) << at << " of " << n;
      values[at] = -7;
      EXPECT_EQ(of(values, DType::f32).min, -7) << at << " of " << n;
      EXPECT_EQ(of(values, DType::f32).absmax, 7) << at << " of " << n;
    }
  }
}

// Each sum alone passes the largest double, though no value does.
TEST(StatisticsPass, FiniteValuesMayOverflowTheSum) {
  const Statistics s = of(std::vector<double>(100, 1e308), DType::f64);
  EXPECT_EQ(s.inf, 0);
  EXPECT_EQ(s.nan, 0);
  EXPECT_EQ(s.finite(), 100);
  EXPECT_EQ(s.max, 1e308);
  EXPECT_EQ(s.sum, std::numeric_limits<double>::infinity());
}

TEST(StatisticsPass, ASmallSpreadFarFromZeroIsNotLost) {
  std::vector<double> values(100'001);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = 1e9 + static_cast<double>(i % 3) - 1;
  const Statistics s = of(values, DType::f64);
  EXPECT_NEAR(s.mean, 1e9, 1e-4);
  EXPECT_NEAR(standard_deviation(s), std::sqrt(2.0 / 3.0), 1e-5);
}

TEST(StatisticsPass, ExtremesOfIntegersAreExact) {
  const Statistics bytes = of(std::vector<std::int8_t>{-128, 127, 0}, DType::i8);
  EXPECT_EQ(bytes.min, -128);
  EXPECT_EQ(bytes.max, 127);
  EXPECT_EQ(bytes.absmax, 128);
  const Statistics ints =
      of(std::vector<std::int32_t>{std::numeric_limits<std::int32_t>::min(), 16'777'217}, DType::i32);
  EXPECT_EQ(ints.min, -2147483648.0);
  EXPECT_EQ(ints.max, 16'777'217.0);
}

TEST(StatisticsPass, WalksStrides) {
  std::vector<float> values(60);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const Statistics s = of({values.data() + 59, DType::f32, Dims{3, 5}, Dims{-20, -2}});
  EXPECT_EQ(s.count, 15);
  EXPECT_EQ(s.max, 59);
  EXPECT_EQ(s.min, 59 - 40 - 8);
  EXPECT_EQ(s.sum, 15 * 59 - 20 * 15 - 2 * 30);
}

TEST(Combine, PartsGiveTheWhole) {
  std::mt19937_64 random(7);
  std::normal_distribution<double> normal(5, 3);
  std::vector<double> values(30'000);
  for (double& value : values) value = normal(random);
  values[100] = kNan;
  values[20'000] = kInf;
  const Statistics whole = of(values, DType::f64);
  for (const std::size_t cut :
       {std::size_t{0}, std::size_t{1}, std::size_t{101}, std::size_t{15'000}, values.size()}) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(cut);
    const Statistics both = combine(of(std::vector<double>(values.begin(), middle), DType::f64),
                                    of(std::vector<double>(middle, values.end()), DType::f64));
    EXPECT_EQ(both.count, whole.count);
    EXPECT_EQ(both.nan, 1);
    EXPECT_EQ(both.inf, 1);
    EXPECT_EQ(both.min, whole.min);
    EXPECT_EQ(both.max, whole.max);
    EXPECT_EQ(both.absmax, whole.absmax);
    EXPECT_NEAR(both.sum, whole.sum, 1e-9 * std::abs(whole.sum));
    EXPECT_NEAR(both.mean, whole.mean, 1e-12);
    EXPECT_NEAR(both.m2, whole.m2, 1e-10 * whole.m2);
  }
}

TEST(Combine, AFreshStatisticsChangesNothing) {
  const Statistics s = of(std::vector<float>{3, 4}, DType::f32);
  for (const Statistics& both : {combine(Statistics{}, s), combine(s, Statistics{})}) {
    EXPECT_EQ(both.count, 2);
    EXPECT_EQ(both.min, 3);
    EXPECT_EQ(both.max, 4);
    EXPECT_EQ(both.m2, s.m2);
  }
  EXPECT_EQ(combine(Statistics{}, Statistics{}).min, kInf);
}

}  // namespace
}  // namespace millrace
