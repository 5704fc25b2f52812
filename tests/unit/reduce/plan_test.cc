// What the planner accepts, refuses and makes of it.
#include "reduce/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <variant>
#include <vector>

#include <millrace/error.h>

namespace millrace {
namespace {

using testing::HasSubstr;
using Numbers = std::vector<std::int64_t>;

ReduceWork plan_reduction(ReduceOp op, const TensorView& input, const TensorView& output,
                          const Numbers& dims) {
  return std::get<ReduceWork>(reduction_operation(op, input, output, dims).work);
}

class Plan : public testing::Test {
 protected:
  TensorView in(const Dims& shape, const Dims& strides, DType dtype = DType::f32) {
    return {input_.data() + input_.size() / 2, dtype, shape, strides};
  }
  TensorView in(const Dims& shape, DType dtype = DType::f32) {
    return in(shape, contiguous_strides(shape), dtype);
  }
  TensorView out(const Dims& shape, DType dtype = DType::f32) {
    return contiguous(output_.data(), dtype, shape);
  }

  std::string refusal(ReduceOp op, const TensorView& input, const TensorView& output, const Numbers& dims) {
    try {
      (void)plan_reduction(op, input, output, dims);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::InvalidArgument);
      EXPECT_EQ(error.call(), "reduce");
      return error.message();
    }
    ADD_FAILURE() << "was not refused";
    return {};
  }

  std::array<double, 4096> input_{};
  std::array<double, 512> output_{};
};

TEST_F(Plan, AllOfADenseTensorIsOneRun) {
  const ReduceWork work = plan_reduction(ReduceOp::sum, in(Dims{4, 5, 6}), out(Dims{}), {});
  EXPECT_EQ(work.reduced, Dims{120});
  EXPECT_EQ(work.reduced_strides, Dims{1});
  EXPECT_TRUE(work.kept.empty());
  EXPECT_EQ(work.kept_count, 1);
  EXPECT_EQ(work.reduced_count, 120);
  EXPECT_EQ(work.input, in(Dims{}).data);
}

TEST_F(Plan, KeptAndDroppedDimensionsPlanTheSame) {
  const Numbers dims{1};
  const ReduceWork dropped = plan_reduction(ReduceOp::sum, in(Dims{4, 5, 6}), out(Dims{4, 6}), dims);
  const ReduceWork kept = plan_reduction(ReduceOp::sum, in(Dims{4, 5, 6}), out(Dims{4, 1, 6}), dims);
  for (const ReduceWork& work : {dropped, kept}) {
    EXPECT_EQ(work.kept, (Dims{4, 6}));
    EXPECT_EQ(work.kept_strides, (Dims{30, 1}));
    EXPECT_EQ(work.output_strides, (Dims{6, 1}));
    EXPECT_EQ(work.reduced, Dims{5});
    EXPECT_EQ(work.reduced_strides, Dims{6});
  }
}

TEST_F(Plan, ReducedLoopsAreOrderedByStride) {
  const Numbers dims{0, 1, 3};
  const ReduceWork work =
      plan_reduction(ReduceOp::sum, in(Dims{2, 3, 4, 5}, Dims{4, -100, 1, 8}), out(Dims{4}), dims);
  EXPECT_EQ(work.reduced, (Dims{3, 10}));  // 5 steps of 8 and 2 of 4 are 10 of 4
  EXPECT_EQ(work.reduced_strides, (Dims{100, 4}));
  EXPECT_EQ(work.input, static_cast<float*>(in(Dims{}).data) - 200);
}

TEST_F(Plan, ANegativeKeptStrideTurnsTheOutputRound) {
  const ReduceWork work =
      plan_reduction(ReduceOp::sum, in(Dims{3, 7}, Dims{-7, 1}), out(Dims{3}), Numbers{1});
  EXPECT_EQ(work.kept_strides, Dims{7});
  EXPECT_EQ(work.output_strides, Dims{-1});
  EXPECT_EQ(work.input, static_cast<float*>(in(Dims{}).data) - 14);
  EXPECT_EQ(work.output, reinterpret_cast<float*>(output_.data()) + 2);
}

TEST_F(Plan, NothingIsSaidByTheCounts) {
  const ReduceWork no_input = plan_reduction(ReduceOp::sum, in(Dims{3, 0}), out(Dims{3}), Numbers{1});
  EXPECT_EQ(no_input.reduced_count, 0);
  EXPECT_EQ(no_input.kept_count, 3);
  EXPECT_EQ(no_input.kept, Dims{3});
  const ReduceWork no_output = plan_reduction(ReduceOp::max, in(Dims{3, 0}), out(Dims{0}), Numbers{0});
  EXPECT_EQ(no_output.kept_count, 0);
  const std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  const Dims wild{-huge, huge, huge};
  EXPECT_EQ(
      plan_reduction(ReduceOp::sum, in(Dims{3, huge, 0}, wild), out(Dims{3}), Numbers{1, 2}).reduced_count,
      0);
  EXPECT_EQ(
      plan_reduction(ReduceOp::sum, in(Dims{huge, huge, 0}, wild), out(Dims{0}), Numbers{0, 1}).kept_count,
      0);
}

TEST_F(Plan, MinAndMaxOfNothingAreRefusedWhereThereIsAResult) {
  for (const ReduceOp op : {ReduceOp::min, ReduceOp::max}) {
    EXPECT_THAT(refusal(op, in(Dims{3, 0}), out(Dims{3}), {1}), HasSubstr("of nothing"));
    EXPECT_THAT(refusal(op, in(Dims{0}), out(Dims{}), {}), HasSubstr("of nothing"));
    EXPECT_EQ(plan_reduction(op, in(Dims{0, 3}), out(Dims{0}), Numbers{1}).kept_count, 0);
    EXPECT_EQ(plan_reduction(op, in(Dims{0, 0}), out(Dims{0}), Numbers{1}).kept_count, 0);
  }
}

TEST_F(Plan, ShapesAndTypesOfTheOutputAreHeld) {
  EXPECT_THAT(refusal(ReduceOp::sum, in(Dims{2, 3}), out(Dims{3}), {1}),
              HasSubstr("output has shape [3], the result has [2], or [2, 1]"));
  EXPECT_THAT(refusal(ReduceOp::sum, in(Dims{2, 3}), out(Dims{2}, DType::f64), {1}),
              HasSubstr("output is f64"));
  EXPECT_THAT(refusal(ReduceOp::sum, in(Dims{2}, DType::u8), out(Dims{}, DType::u8), {}),
              HasSubstr("the result is i64"));
  EXPECT_THAT(refusal(ReduceOp::mean, in(Dims{2}, DType::i32), out(Dims{}, DType::i64), {}),
              HasSubstr("the result is f64"));
  EXPECT_THAT(refusal(static_cast<ReduceOp>(77), in(Dims{2}), out(Dims{}), {}), HasSubstr("not a ReduceOp"));
}

TEST_F(Plan, AnOutputOverTheInputOrItselfIsRefused) {
  TensorView inside = in(Dims{});
  EXPECT_THAT(refusal(ReduceOp::sum, in(Dims{4}), inside, {}), HasSubstr("within the input"));
  inside.data = static_cast<float*>(inside.data) + 4;  // just past it
  EXPECT_EQ(plan_reduction(ReduceOp::sum, in(Dims{4}), inside, {}).reduced_count, 4);
  TensorView repeated = out(Dims{3});
  repeated.strides[0] = 0;
  EXPECT_THAT(refusal(ReduceOp::sum, in(Dims{3, 4}), repeated, {1}),
              HasSubstr("several results in one place"));
}

TEST_F(Plan, OutputsThatMeetThemselvesAreRefused) {
  const TensorView input = in(Dims{3, 4, 2});
  const auto output = [&](Dims strides) {
    return TensorView{output_.data() + 100, DType::f32, Dims{3, 4}, strides};
  };
  for (const Dims& strides : {Dims{1, 1}, Dims{3, 1}, Dims{2, -3}, Dims{1, 2}}) {
    EXPECT_THAT(refusal(ReduceOp::sum, input, output(strides), {2}),
                HasSubstr("several results in one place"));
  }
  for (const Dims& strides : {Dims{4, 1}, Dims{1, 3}, Dims{-4, -1}, Dims{-1, 5}}) {
    EXPECT_EQ(plan_reduction(ReduceOp::sum, input, output(strides), {2}).kept_count, 12);
  }
}

TEST_F(Plan, TheOperationSaysWhatMemoryItTouches) {
  const Operation operation = reduction_operation(ReduceOp::mean, in(Dims{3, 7}, Dims{-7, 1}), out(Dims{3}),
                                                  Numbers{1}, {}, SourcePlace{"file.cc", 12});
  EXPECT_EQ(operation.name, "mean");
  EXPECT_EQ(operation.place.line, 12);
  ASSERT_EQ(operation.uses.size(), 2U);
  EXPECT_EQ(operation.uses[0].address, static_cast<float*>(in(Dims{}).data) - 14);
  EXPECT_EQ(operation.uses[0].bytes, 21 * sizeof(float));
  EXPECT_EQ(operation.uses[0].mode, AccessMode::read);
  EXPECT_EQ(operation.uses[1].address, output_.data());
  EXPECT_EQ(operation.uses[1].bytes, 3 * sizeof(float));
  EXPECT_EQ(operation.uses[1].mode, AccessMode::write);
  EXPECT_EQ(reduction_operation(ReduceOp::sum, in(Dims{0}), out(Dims{}), {}).uses.size(), 1U);
  EXPECT_TRUE(reduction_operation(ReduceOp::sum, in(Dims{0, 3}), out(Dims{0}), Numbers{1}).uses.empty());
}

TEST_F(Plan, StatisticsAreCheckedTheSameWay) {
  alignas(8) Statistics result;
  const Operation operation = statistics_operation(in(Dims{3, 7}, Dims{-7, 1}), &result);
  const auto& work = std::get<ReduceWork>(operation.work);
  EXPECT_TRUE(work.statistics);
  EXPECT_EQ(work.reduced, Dims{21});
  EXPECT_EQ(work.reduced_strides, Dims{1});
  ASSERT_EQ(operation.uses.size(), 2U);
  EXPECT_EQ(operation.uses[1].bytes, sizeof(Statistics));
  EXPECT_THROW((void)statistics_operation(in(Dims{3}), nullptr), Error);
  auto* const odd = reinterpret_cast<Statistics*>(reinterpret_cast<char*>(output_.data()) + 4);
  EXPECT_THROW((void)statistics_operation(in(Dims{3}), odd), Error);
  EXPECT_THROW((void)statistics_operation(in(Dims{3}), static_cast<Statistics*>(in(Dims{}).data)), Error);
}

}  // namespace
}  // namespace millrace
