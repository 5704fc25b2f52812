// Reductions and statistics as users call them. What each combination
// of operation, type and layout gives is held against NumPy in tests/numpy.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <optional>
#include <vector>

#include <millrace/millrace.h>

#include "support/expect_error.h"
#include "support/test_device.h"

namespace millrace {
namespace {

using testing::HasSubstr;
using Numbers = std::vector<std::int64_t>;

class ReduceConformance : public testing::Test {
 protected:
  template <typename T>
  Buffer upload(const std::vector<T>& values) {
    Buffer buffer = device_.buffer(values.size() * sizeof(T));
    test::write_to(device_.stream(), buffer.data(), values);
    return buffer;
  }
  template <typename T>
  std::vector<T> download(const Buffer& buffer, std::size_t count) {
    return test::read_back<T>(device_.stream(), buffer.data(), count);
  }

  Device device_ = test::create_test_device();
};

TEST_F(ReduceConformance, RunsInStreamOrder) {
  std::vector<float> values(6);
  std::iota(values.begin(), values.end(), 1.0F);
  const Buffer input = upload(values);
  const Buffer rows = device_.buffer(2 * sizeof(float));
  const Buffer all = device_.buffer(sizeof(float));
  Stream stream = device_.stream();
  // The second reads what the first wrote: nothing but their order on the stream says so.
  reduce(stream, ReduceOp::sum, contiguous(input.data(), DType::f32, Dims{2, 3}),
         contiguous(rows.data(), DType::f32, Dims{2}), Numbers{1});
  reduce(stream, ReduceOp::max, contiguous(rows.data(), DType::f32, Dims{2}),
         contiguous(all.data(), DType::f32, Dims{}));
  EXPECT_THAT(download<float>(rows, 2), testing::ElementsAre(6, 15));
  EXPECT_THAT(download<float>(all, 1), testing::ElementsAre(15));
}

TEST_F(ReduceConformance, ReturnsBeforeTheWorkHasRun) {
  const Buffer input = upload(std::vector<std::int32_t>(1000, 3));
  const Buffer output = device_.buffer(sizeof(std::int64_t));
  Stream stream = device_.stream();
  reduce(stream, ReduceOp::sum, contiguous(input.data(), DType::i32, Dims{1000}),
         contiguous(output.data(), DType::i64, Dims{}));
  EXPECT_EQ(stream.command_buffer().status(), BufferStatus::recording);
  EXPECT_THAT(download<std::int64_t>(output, 1), testing::ElementsAre(3000));
}

TEST_F(ReduceConformance, EveryOperationWithBothResultShapes) {
  const Buffer input = upload(std::vector<std::int64_t>{1, 2, 3, 4, 5, 6});
  const TensorView view = contiguous(input.data(), DType::i64, Dims{3, 2});
  const auto run = [&](ReduceOp op, bool keep) {
    const Numbers dims{0};
    const Buffer output = device_.buffer(2 * sizeof(std::int64_t));
    reduce(device_.stream(), op, view,
           contiguous(output.data(), result_dtype(op, DType::i64), result_shape(view.shape, dims, keep)),
           dims);
    return op == ReduceOp::mean ? download<double>(output, 2) : [&] {
      const std::vector<std::int64_t> whole = download<std::int64_t>(output, 2);
      return std::vector<double>(whole.begin(), whole.end());
    }();
  };
  for (const bool keep : {false, true}) {
    EXPECT_THAT(run(ReduceOp::sum, keep), testing::ElementsAre(9, 12));
    EXPECT_THAT(run(ReduceOp::mean, keep), testing::ElementsAre(3, 4));
    EXPECT_THAT(run(ReduceOp::prod, keep), testing::ElementsAre(15, 48));
    EXPECT_THAT(run(ReduceOp::min, keep), testing::ElementsAre(1, 2));
    EXPECT_THAT(run(ReduceOp::max, keep), testing::ElementsAre(5, 6));
  }
}

TEST_F(ReduceConformance, RefusalRecordsNothing) {
  const Buffer buffer = upload(std::vector<float>(8, 1));
  const TensorView view = contiguous(buffer.data(), DType::f32, Dims{8});
  const std::optional<Error> error = test::error_of(
      [&] { reduce(device_.stream(), ReduceOp::sum, view, contiguous(buffer.data(), DType::f32, Dims{})); });
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->code(), ErrorCode::InvalidArgument);
  EXPECT_THAT(error->message(), HasSubstr("within the input"));
  EXPECT_THAT(download<float>(buffer, 8), testing::Each(1));
}

TEST_F(ReduceConformance, StatisticsInOnePass) {
  const Buffer input = upload(std::vector<double>{1, 2, 3, 4, std::numeric_limits<double>::quiet_NaN(), 0});
  const Buffer output = device_.buffer(sizeof(Statistics));
  statistics(device_.stream(), contiguous(input.data(), DType::f64, Dims{6}), output.as<Statistics>());
  const Statistics result = download<Statistics>(output, 1).front();
  EXPECT_EQ(result.count, 6);
  EXPECT_EQ(result.nan, 1);
  EXPECT_EQ(result.zeros, 1);
  EXPECT_EQ(result.sum, 10);
  EXPECT_EQ(result.mean, 2);
  EXPECT_EQ(result.m2, 10);
  EXPECT_EQ(result.max, 4);
}

TEST_F(ReduceConformance, AStreamThatIsNoneRefuses) {
  const Buffer input = upload(std::vector<float>(2, 1));
  const Buffer output = device_.buffer(sizeof(float));
  const std::optional<Error> error = test::error_of([&] {
    reduce(Stream(), ReduceOp::sum, contiguous(input.data(), DType::f32, Dims{2}),
           contiguous(output.data(), DType::f32, Dims{}));
  });
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->call(), "reduce");
}

}  // namespace
}  // namespace millrace
