// The vocabulary of shapes: counts, strides, result shapes and types, and what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <millrace/error.h>
#include <millrace/reduction.h>
#include <millrace/tensor.h>

#include "reduce/shape.h"

namespace millrace {
namespace {

using testing::HasSubstr;

constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

std::string refusal(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::InvalidArgument);
    return error.message();
  }
  ADD_FAILURE() << "was not refused";
  return {};
}

Dims result(const Dims& shape, const std::vector<std::int64_t>& dims, bool keep = false) {
  return result_shape(shape, dims, keep);
}

TEST(DTypes, NamesAreReadBack) {
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    EXPECT_EQ(dtype_from(to_string(dtype)), dtype) << i;
    EXPECT_GT(size_of(dtype), 0U);
  }
  EXPECT_EQ(to_string(DType::boolean), "bool");
  EXPECT_EQ(dtype_from("f8"), std::nullopt);
  EXPECT_EQ(dtype_from(""), std::nullopt);
}

TEST(DimsTest, HoldsEightAndRefusesNine) {
  Dims dims{1, 2, 3, 4, 5, 6, 7};
  dims.push_back(8);
  EXPECT_EQ(dims.size(), 8);
  EXPECT_EQ(dims[7], 8);
  EXPECT_THAT(refusal([&] { dims.push_back(9); }), HasSubstr("at most 8"));
  EXPECT_THAT(refusal([] { Dims({1, 1, 1, 1, 1, 1, 1, 1, 1}); }), HasSubstr("9 dimensions"));
  EXPECT_EQ(dims.size(), 8);
}

TEST(DimsTest, ComparesWhatItHolds) {
  Dims shorter{1, 2};
  EXPECT_EQ(shorter, (Dims{1, 2}));
  EXPECT_FALSE(shorter == (Dims{1, 2, 0}));
  EXPECT_FALSE(shorter == (Dims{2, 1}));
  EXPECT_EQ(Dims(), Dims{});
}

TEST(Shapes, CountsElements) {
  EXPECT_EQ(element_count(Dims{}), 1);
  EXPECT_EQ(element_count(Dims{3, 4}), 12);
  EXPECT_EQ(element_count(Dims{kMost, kMost, 0}), 0);
  EXPECT_EQ(element_count(Dims{kMost}), kMost);
  EXPECT_THAT(refusal([] {
                (void)element_count(Dims{std::int64_t{1} << 32, std::int64_t{1} << 31});
              }),
              HasSubstr("2^63"));
  EXPECT_THAT(refusal([] { (void)element_count(Dims{2, -1}); }), HasSubstr("[2, -1]"));
  EXPECT_THAT(refusal([] { (void)element_count(Dims{0, -1}); }), HasSubstr("negative"));
}

TEST(Shapes, ContiguousStridesAreRowMajor) {
  EXPECT_EQ(contiguous_strides(Dims{2, 3, 4}), (Dims{12, 4, 1}));
  EXPECT_EQ(contiguous_strides(Dims{}), Dims{});
  EXPECT_EQ(contiguous_strides(Dims{2, 0, 4}).size(), 3);
}

TEST(Shapes, ResultShapeDropsOrKeeps) {
  const Dims shape{2, 3, 4};
  EXPECT_EQ(result(shape, {}), Dims{});
  EXPECT_EQ(result(shape, {}, true), (Dims{1, 1, 1}));
  EXPECT_EQ(result(shape, {1}), (Dims{2, 4}));
  EXPECT_EQ(result(shape, {-1, 0}), Dims{3});
  EXPECT_EQ(result(shape, {-1, 0}, true), (Dims{1, 3, 1}));
  EXPECT_EQ(result(Dims{}, {}), Dims{});
}

TEST(Shapes, ResultShapeRefusesWrongDims) {
  const Dims shape{2, 3};
  EXPECT_THAT(refusal([&] { (void)result(shape, {2}); }), HasSubstr("from -2 to 1"));
  EXPECT_THAT(refusal([&] { (void)result(shape, {-3}); }), HasSubstr("-3"));
  EXPECT_THAT(refusal([&] { (void)result(shape, {0, -2}); }), HasSubstr("twice"));
  EXPECT_THAT(refusal([&] { (void)result(Dims{}, {0}); }), HasSubstr("none"));
}

TEST(ResultTypes, FollowNumPy) {
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    EXPECT_EQ(result_dtype(ReduceOp::min, dtype), dtype);
    EXPECT_EQ(result_dtype(ReduceOp::max, dtype), dtype);
    EXPECT_EQ(result_dtype(ReduceOp::sum, dtype), is_floating(dtype) ? dtype : DType::i64);
    EXPECT_EQ(result_dtype(ReduceOp::prod, dtype), is_floating(dtype) ? dtype : DType::i64);
    EXPECT_EQ(result_dtype(ReduceOp::mean, dtype), is_floating(dtype) ? dtype : DType::f64);
  }
}

TEST(Spans, CoverWhatStridesReach) {
  alignas(8) char memory[400];
  char* const middle = memory + 200;
  const Span forward = checked_span("reduce", "input", {middle, DType::f32, Dims{3, 4}, Dims{4, 1}});
  EXPECT_EQ(forward.address, middle);
  EXPECT_EQ(forward.bytes, 48U);
  const Span backward = checked_span("reduce", "input", {middle, DType::f32, Dims{3, 4}, Dims{-4, 1}});
  EXPECT_EQ(backward.address, middle - 32);
  EXPECT_EQ(backward.bytes, 48U);
  const Span repeated = checked_span("reduce", "input", {middle, DType::f32, Dims{100}, Dims{0}});
  EXPECT_EQ(repeated.bytes, 4U);
  EXPECT_EQ(checked_span("reduce", "input", {nullptr, DType::f32, Dims{0, 5}, Dims{kMost, kMost}}).bytes, 0U);
}

TEST(Spans, RefuseWhatIsNoTensor) {
  alignas(8) char memory[16];
  const auto refused = [](const TensorView& view) {
    return refusal([&] { (void)checked_span("reduce", "input", view); });
  };
  EXPECT_THAT(refused({memory, DType::f32, Dims{2, 2}, Dims{1}}), HasSubstr("one stride for each size"));
  EXPECT_THAT(refused({memory, DType::f32, Dims{-2}, Dims{1}}), HasSubstr("negative size"));
  EXPECT_THAT(refused({nullptr, DType::f32, Dims{2}, Dims{1}}), HasSubstr("null"));
  EXPECT_THAT(refused({memory + 2, DType::f32, Dims{2}, Dims{1}}), HasSubstr("not aligned"));
  EXPECT_THAT(refused({memory, DType::f32, Dims{3}, Dims{kMost}}), HasSubstr("address space"));
  EXPECT_THAT(refused({memory, DType::u8, Dims{2}, Dims{std::numeric_limits<std::int64_t>::min()}}),
              HasSubstr("address space"));
  EXPECT_THAT(refused({memory, static_cast<DType>(99), Dims{2}, Dims{1}}), HasSubstr("no valid type"));
}

TEST(LoopNests, MergeWhatWalksMemoryAsOne) {
  LoopNest loops;
  for (const Loop& loop : {Loop{4, 1, 1}, Loop{2, 12, 12}, Loop{1, 99, 99}, Loop{3, 4, 4}}) loops.add(loop);
  loops.normalise(LoopNest::Zeros::last);
  ASSERT_EQ(loops.size(), 1);
  EXPECT_EQ(loops[0].size, 24);
  EXPECT_EQ(loops[0].stride, 1);
}

TEST(LoopNests, KeepApartWhatOneTensorWalksOtherwise) {
  LoopNest loops;
  loops.add({3, 4, 1});
  loops.add({4, 1, 3});
  loops.normalise(LoopNest::Zeros::last);
  ASSERT_EQ(loops.size(), 2);
  EXPECT_EQ(loops[0].stride, 4);
}

TEST(LoopNests, NegativeStridesAreTurnedRound) {
  LoopNest loops;
  loops.add({5, -3, 7});
  loops.add({2, 1, -9});
  const LoopNest::Shift shift = loops.make_strides_positive();
  EXPECT_EQ(shift.stride, -12);
  EXPECT_EQ(shift.other_stride, 28);
  EXPECT_EQ(loops[0].stride, 3);
  EXPECT_EQ(loops[0].other_stride, -7);
  EXPECT_EQ(loops[1].other_stride, -9);
}

}  // namespace
}  // namespace millrace
