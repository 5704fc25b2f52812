// A tensor around one of its dimensions.
#include "stats_split.h"

#include <gtest/gtest.h>

namespace millrace::tool {
namespace {

TensorEntry tensor_of(std::vector<std::int64_t> shape, bool fortran_order = false) {
  TensorEntry entry;
  entry.dtype = DType::u8;
  entry.bytes = *checked_bytes(shape, 1);
  entry.shape = std::move(shape);
  entry.fortran_order = fortran_order;
  return entry;
}

void expect_split(const TensorEntry& tensor, std::int64_t dim, std::uint64_t outer, std::uint64_t channels,
                  std::uint64_t inner) {
  const Split split = split_tensor(tensor, dim);
  EXPECT_EQ(split.kind, SplitKind::channels);
  EXPECT_EQ(split.outer, outer);
  EXPECT_EQ(split.channels, channels);
  EXPECT_EQ(split.inner, inner);
}

TEST(StatsSplit, IsOuterChannelsInner) {
  expect_split(tensor_of({2, 3, 5}), 0, 1, 2, 15);
  expect_split(tensor_of({2, 3, 5}), 1, 2, 3, 5);
  expect_split(tensor_of({2, 3, 5}), 2, 6, 5, 1);
  expect_split(tensor_of({2, 3, 5}), -1, 6, 5, 1);
  expect_split(tensor_of({2, 3, 5}), -3, 1, 2, 15);
  expect_split(tensor_of({7}), 0, 1, 7, 1);
}

TEST(StatsSplit, FollowsTheOrderOfTheFile) {
  expect_split(tensor_of({2, 3, 5}, true), 0, 15, 2, 1);
  expect_split(tensor_of({2, 3, 5}, true), 1, 5, 3, 2);
  expect_split(tensor_of({2, 3, 5}, true), -1, 1, 5, 6);
}

TEST(StatsSplit, HasNoLimitOfRank) {
  std::vector<std::int64_t> shape(kMaxRank, 1);
  shape[20] = 3;
  shape[40] = 4;
  expect_split(tensor_of(shape), 20, 1, 3, 4);
}

TEST(StatsSplit, SaysWhyNot) {
  EXPECT_EQ(split_tensor(tensor_of({2, 3}), std::nullopt).kind, SplitKind::whole);
  EXPECT_EQ(split_tensor(tensor_of({2, 3}), 2).kind, SplitKind::no_dimension);
  EXPECT_EQ(split_tensor(tensor_of({2, 3}), -3).kind, SplitKind::no_dimension);
  EXPECT_EQ(split_tensor(tensor_of({}), 0).kind, SplitKind::no_dimension);
  EXPECT_EQ(split_tensor(tensor_of({}), -1).kind, SplitKind::no_dimension);
  EXPECT_EQ(split_tensor(tensor_of({std::int64_t{1} << 40, 0}), 0).kind, SplitKind::no_elements);
  EXPECT_EQ(split_tensor(tensor_of({(1 << 22) + 1}), 0).kind, SplitKind::too_many);
  EXPECT_EQ(split_tensor(tensor_of({1 << 22}), 0).kind, SplitKind::channels);
  const Split whole = split_tensor(tensor_of({2, 3}), 5);
  EXPECT_EQ(whole.outer * whole.channels, 1U);
  EXPECT_EQ(whole.inner, 6U);
}

}  // namespace
}  // namespace millrace::tool
