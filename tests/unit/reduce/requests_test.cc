// Remembered requests: what comes out is what planning them anew gives, and what that refuses is refused.
#include "reduce/requests.h"

#include <gtest/gtest.h>
#include <millrace/error.h>

#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "device/context.h"
#include "reduce/plan.h"
#include "support/expect_error.h"
#include "support/fake_device.h"
#include "support/random.h"
#include "support/scale.h"

namespace millrace {
namespace {

class RememberedRequestsTest : public testing::Test {
 protected:
  Operation planned(ReduceOp op, const TensorView& input, const TensorView& output, const Dims& dims = {},
                    const ReduceOptions& options = {}) {
    const std::span<const std::int64_t> list(dims.begin(), static_cast<std::size_t>(dims.size()));
    return requests_.plan(context_, {op, input, output, list, options, {}}).operation;
  }
  static void expect_same(const Operation& expected, const Operation& found) {
    const auto& a = std::get<ReduceWork>(expected.work);
    const auto& b = std::get<ReduceWork>(found.work);
    EXPECT_EQ(a.op, b.op);
    EXPECT_EQ(a.statistics, b.statistics);
    EXPECT_EQ(a.correction, b.correction);
    EXPECT_EQ(a.input_dtype, b.input_dtype);
    EXPECT_EQ(a.output_dtype, b.output_dtype);
    EXPECT_EQ(a.input, b.input);
    EXPECT_EQ(a.output, b.output);
    EXPECT_EQ(a.values, b.values);
    EXPECT_EQ(a.kept_count, b.kept_count);
    EXPECT_EQ(a.reduced_count, b.reduced_count);
    EXPECT_TRUE(a.kept == b.kept && a.kept_strides == b.kept_strides && a.output_strides == b.output_strides);
    EXPECT_TRUE(a.reduced == b.reduced && a.reduced_strides == b.reduced_strides);
    EXPECT_EQ(expected.name, found.name);
    ASSERT_EQ(expected.uses.size(), found.uses.size());
    for (std::size_t i = 0; i < found.uses.size(); ++i) {
      EXPECT_EQ(expected.uses[i].address, found.uses[i].address);
      EXPECT_EQ(expected.uses[i].bytes, found.uses[i].bytes);
      EXPECT_EQ(expected.uses[i].mode, found.uses[i].mode);
    }
  }

  test::FakeDevice device_;
  Context& context_ = device_.context();
  RememberedRequests& requests_ = RememberedRequests::of(context_);
  std::vector<double> memory_ = std::vector<double>(4096);
};

TEST_F(RememberedRequestsTest, AreAsPlannedAnew) {
  test::Random random(7);
  for (std::size_t i = 0; i < test::scaled(4000); ++i) {
    const auto op = random.one_in(2) ? ReduceOp::mean : ReduceOp::max;
    const DType dtype = random.one_in(2) ? DType::f32 : DType::f16;
    const bool turned = random.one_in(3);
    const Dims shape{random.one_in(2) ? 3 : 5, 8};
    const Dims strides{turned ? -8 : 8, 1};
    const Dims dims = random.one_in(2) ? Dims{1} : random.one_in(2) ? Dims{-2} : Dims{};
    const bool keep = random.one_in(4);
    auto* const in = reinterpret_cast<char*>(memory_.data()) + 1024 + size_of(dtype) * random.below(500);
    auto* const out = reinterpret_cast<char*>(memory_.data() + 2048) + size_of(dtype) * random.below(500);
    const TensorView input{in, dtype, shape, strides};
    const std::span<const std::int64_t> list(dims.begin(), static_cast<std::size_t>(dims.size()));
    const TensorView output = contiguous(out, dtype, result_shape(shape, list, keep));
    expect_same(reduction_operation(op, input, output, list), planned(op, input, output, dims));
    if (HasFailure()) FAIL() << "request " << i;
  }
}

TEST_F(RememberedRequestsTest, ReuseHasTheCallersAddresses) {
  for (int i = 0; i < 3; ++i) {
    const Operation operation = planned(ReduceOp::sum, contiguous(&memory_[16 * i], DType::f64, {4, 4}),
                                        contiguous(&memory_[1000 + i], DType::f64, {}));
    const auto& work = std::get<ReduceWork>(operation.work);
    EXPECT_EQ(work.input, &memory_[16 * i]);
    EXPECT_EQ(work.output, &memory_[1000 + i]);
    EXPECT_EQ(operation.uses[0].address, &memory_[16 * i]);
    EXPECT_EQ(operation.uses[1].address, &memory_[1000 + i]);
  }
}

TEST_F(RememberedRequestsTest, WhatAddressesMakeWrongIsRefused) {
  const TensorView input = contiguous(&memory_[0], DType::f64, {16});
  static_cast<void>(planned(ReduceOp::sum, input, contiguous(&memory_[100], DType::f64, {})));
  const auto refused = [&](void* in, void* out) {
    test::expect_code(ErrorCode::InvalidArgument, [&] {
      static_cast<void>(
          planned(ReduceOp::sum, contiguous(in, DType::f64, {16}), contiguous(out, DType::f64, {})));
    });
  };
  refused(&memory_[0], &memory_[15]);  // within the input
  refused(&memory_[0], nullptr);
  refused(nullptr, &memory_[100]);
  refused(&memory_[0], reinterpret_cast<char*>(&memory_[100]) + 4);
  refused(reinterpret_cast<void*>(~std::uintptr_t{0} - 127), &memory_[100]);  // past the address space
}

TEST_F(RememberedRequestsTest, OptionsAndListsAreLookedAt) {
  const TensorView input = contiguous(&memory_[0], DType::f64, {4, 4});
  const TensorView output = contiguous(&memory_[100], DType::f64, {4});
  for (const double correction : {0.0, 1.0, 0.0}) {
    const Operation operation = planned(ReduceOp::var, input, output, {1}, {.correction = correction});
    EXPECT_EQ(std::get<ReduceWork>(operation.work).correction, correction);
  }
  expect_same(reduction_operation(ReduceOp::sum, input, output, std::vector<std::int64_t>{0}),
              planned(ReduceOp::sum, input, output, {0}));
  expect_same(reduction_operation(ReduceOp::sum, input, output, std::vector<std::int64_t>{1}),
              planned(ReduceOp::sum, input, output, {1}));
  // The shape is that of one dimension too few.
  test::expect_code(ErrorCode::InvalidArgument,
                    [&] { static_cast<void>(planned(ReduceOp::sum, input, output, {})); });
}

}  // namespace
}  // namespace millrace
