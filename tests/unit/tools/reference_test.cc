// The stress test's reference: it must accept right results and see wrong ones.
#include "stress/reference.h"

#include <cmath>
#include <cstring>
#include <limits>

#include <gtest/gtest.h>

namespace millrace::tool {
namespace {

template <typename T>
std::vector<std::byte> bytes_of(const std::vector<T>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(T));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

ReduceCase matrix(ReduceOp op, std::vector<std::int64_t> dims) {
  ReduceCase c;
  c.op = op;
  c.dtype = DType::f32;
  c.shape = {2, 3};
  c.strides = {3, 1};
  c.dims = std::move(dims);
  c.input = bytes_of<float>({1, 2, 3, 4, 5, 6});
  return c;
}

TEST(Reference, AcceptsRightResults) {
  EXPECT_EQ(compare_with_reference(matrix(ReduceOp::sum, {}), bytes_of<float>({21})), std::nullopt);
  EXPECT_EQ(compare_with_reference(matrix(ReduceOp::sum, {0}), bytes_of<float>({5, 7, 9})), std::nullopt);
  EXPECT_EQ(compare_with_reference(matrix(ReduceOp::mean, {-1}), bytes_of<float>({2, 5})), std::nullopt);
  EXPECT_EQ(compare_with_reference(matrix(ReduceOp::max, {1}), bytes_of<float>({3, 6})), std::nullopt);
  EXPECT_EQ(compare_with_reference(matrix(ReduceOp::min, {0}), bytes_of<float>({1, 2, 3})), std::nullopt);
  EXPECT_EQ(compare_with_reference(matrix(ReduceOp::prod, {0, 1}), bytes_of<float>({720})), std::nullopt);
}

TEST(Reference, FollowsStrides) {
  ReduceCase transposed = matrix(ReduceOp::sum, {0});
  transposed.shape = {3, 2};
  transposed.strides = {1, 3};
  EXPECT_EQ(compare_with_reference(transposed, bytes_of<float>({6, 15})), std::nullopt);
}

TEST(Reference, SeesWrongResults) {
  EXPECT_NE(compare_with_reference(matrix(ReduceOp::sum, {}), bytes_of<float>({20})), std::nullopt);
  EXPECT_NE(compare_with_reference(matrix(ReduceOp::sum, {0}), bytes_of<float>({5, 7, 9.001F})),
            std::nullopt);
  EXPECT_NE(compare_with_reference(matrix(ReduceOp::max, {1}), bytes_of<float>({3, 5})), std::nullopt);
  EXPECT_NE(compare_with_reference(matrix(ReduceOp::sum, {}),
                                   bytes_of<float>({std::numeric_limits<float>::quiet_NaN()})),
            std::nullopt);
}

TEST(Reference, NanWins) {
  ReduceCase c = matrix(ReduceOp::max, {1});
  c.input = bytes_of<float>({1, std::nanf(""), 3, 4, 5, 6});
  EXPECT_EQ(compare_with_reference(c, bytes_of<float>({std::nanf(""), 6})), std::nullopt);
  EXPECT_NE(compare_with_reference(c, bytes_of<float>({3, 6})), std::nullopt);
}

TEST(Reference, IntegersWrap) {
  ReduceCase c;
  c.dtype = DType::i64;
  c.shape = {2};
  c.strides = {1};
  c.input = bytes_of<std::int64_t>({std::numeric_limits<std::int64_t>::max(), 1});
  EXPECT_EQ(compare_with_reference(c, bytes_of<std::int64_t>({std::numeric_limits<std::int64_t>::min()})),
            std::nullopt);
  c.op = ReduceOp::prod;
  c.input = bytes_of<std::int64_t>({std::int64_t{1} << 62, 6});
  EXPECT_EQ(compare_with_reference(c, bytes_of<std::int64_t>({std::numeric_limits<std::int64_t>::min()})),
            std::nullopt);
}

/// Loses one element of random sums: the tolerance must be too tight for that.
TEST(Reference, SeesALostElement) {
  Random random(5);
  int seen = 0;
  for (int i = 0; i < 2000; ++i) {
    ReduceCase c = random_reduce_case(random);
    if (c.op != ReduceOp::sum || c.dtype != DType::f32 || !c.dims.empty()) continue;
    std::vector<float> values(c.input.size() / sizeof(float));
    std::memcpy(values.data(), c.input.data(), c.input.size());
    double sum = 0;
    bool nan = false;
    for (const float value : values) {
      nan = nan || std::isnan(value);
      sum += static_cast<double>(value);
    }
    if (nan || std::fabs(values.back()) < 0.1F) continue;
    EXPECT_EQ(compare_with_reference(c, bytes_of<float>({static_cast<float>(sum)})), std::nullopt);
    const double lost = sum - static_cast<double>(values.back());
    EXPECT_NE(compare_with_reference(c, bytes_of<float>({static_cast<float>(lost)})), std::nullopt)
        << c.describe();
    ++seen;
  }
  EXPECT_GT(seen, 10);
}

TEST(Reference, CoversEveryOperationTypeAndKindOfDimensions) {
  Random random(6);
  bool all = false;
  bool one = false;
  bool several = false;
  bool kept = false;
  bool transposed = false;
  std::array<int, 5> ops{};
  std::array<int, kDTypeCount> dtypes{};
  for (int i = 0; i < 1000; ++i) {
    const ReduceCase c = random_reduce_case(random);
    all = all || c.dims.empty();
    one = one || c.dims.size() == 1;
    several = several || c.dims.size() > 1;
    kept = kept || c.keep;
    transposed = transposed || !(c.strides == contiguous_strides(c.shape));
    ++ops[static_cast<std::size_t>(c.op)];
    ++dtypes[static_cast<std::size_t>(c.dtype)];
  }
  EXPECT_TRUE(all && one && several && kept && transposed);
  for (const int count : ops) EXPECT_GT(count, 0);
  for (const int count : dtypes) EXPECT_GT(count, 0);
}

}  // namespace
}  // namespace millrace::tool
