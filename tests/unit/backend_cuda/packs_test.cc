// Small reductions that share launches, over a driver that plays the device: what is launched together, and
// that the stream's order shows in every result.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "support/expect_error.h"
#include "support/fake_cuda.h"
#include "support/fake_kernels.h"

namespace millrace::test {
namespace {

constexpr std::int64_t kSide = 64, kCount = kSide * kSide;

/// Rows of elements that follow each other in memory, as the regimes whole and rows have them.
void reduce_rows(const cuda::ReducePlan& plan, const cuda::PackItem& item) {
  for (std::int64_t row = 0; row < plan.kept_count; ++row) {
    const auto* from = static_cast<const float*>(item.input);
    auto* to = static_cast<float*>(item.output);
    for (std::int64_t i = 0, left = row; i < plan.kept_rank; left /= plan.kept[i++].size) {
      from += left % plan.kept[i].size * plan.kept[i].stride;
      to += left % plan.kept[i].size * plan.kept[i].other;
    }
    const float* const end = from + plan.reduced_count;
    const float sum = std::accumulate(from, end, 0.0F);
    *to = plan.op == ReduceOp::max    ? *std::max_element(from, end)
          : plan.op == ReduceOp::mean ? sum / static_cast<float>(plan.reduced_count)
                                      : sum;
  }
}

class CudaPacks : public testing::Test {
 protected:
  static void SetUpTestSuite() { install_fake_cuda(); }
  void SetUp() override {
    // Backwards, since those of a launch may run in any order.
    set_fake_cuda_kernels([](const FakeLaunch& launch) {
      std::for_each(launch.items.rbegin(), launch.items.rend(),
                    [&](const cuda::PackItem& item) { reduce_rows(launch.plan, item); });
    });
    device_ = Device::create("cuda:0");
    stream_ = device_.stream();
    memory_ = device_.buffer(sizeof(float) * 2 * kCount * 300);
    std::fill_n(at(0), 2 * kCount * 300, 1.0F);
    before_ = fake_cuda_launches();
  }
  void TearDown() override {
    refuse_fake_cuda_launches(cudaSuccess);
    set_fake_cuda_kernels(nullptr);
  }

  float* at(std::int64_t element) { return memory_.as<float>() + element; }
  void sum(std::int64_t from, std::int64_t to, std::int64_t count = kCount) {
    reduce(stream_, ReduceOp::sum, contiguous(at(from), DType::f32, {count}),
           contiguous(at(to), DType::f32, {}));
  }
  void sum_rows(std::int64_t from, std::int64_t to, ReduceOp op = ReduceOp::sum) {
    const std::int64_t dims[] = {1};
    reduce(stream_, op, contiguous(at(from), DType::f32, {kSide, kSide}),
           contiguous(at(to), DType::f32, {kSide}), dims);
  }
  static void expect_failure(CommandBuffer buffer, ErrorCode code, const char* part) {
    const auto error = error_of([&] { buffer.wait(); });
    ASSERT_TRUE(error.has_value());
    EXPECT_EQ(error->code(), code);
    EXPECT_NE(std::string(error->what()).find(part), std::string::npos) << error->what();
  }
  std::size_t launches() {
    stream_.commit().wait();
    return fake_cuda_launches() - before_;
  }

  static constexpr std::int64_t kOutputs = kCount * 300;

  Device device_;
  Stream stream_;
  Buffer memory_;
  std::size_t before_ = 0;
};

TEST_F(CudaPacks, IndependentOnesShareALaunch) {
  for (int i = 0; i < 16; ++i) {
    std::fill_n(at(i * kCount), kCount, static_cast<float>(i));
    sum(i * kCount, kOutputs + i);
  }
  EXPECT_EQ(launches(), 1U);
  for (int i = 0; i < 16; ++i) EXPECT_EQ(*at(kOutputs + i), static_cast<float>(i * kCount));
}

TEST_F(CudaPacks, ALaunchForEachKind) {
  for (int i = 0; i < 24; ++i) {
    sum(0, kOutputs + i * 256);
    sum_rows(0, kOutputs + i * 256 + 64);
    sum_rows(0, kOutputs + i * 256 + 128, ReduceOp::mean);
  }
  EXPECT_EQ(launches(), 3U);
  for (int i = 0; i < 24; ++i) {
    EXPECT_EQ(*at(kOutputs + i * 256), kCount);
    EXPECT_EQ(*at(kOutputs + i * 256 + 64 + 63), kSide);
    EXPECT_EQ(*at(kOutputs + i * 256 + 128 + 63), 1);
  }
}

TEST_F(CudaPacks, MoreKindsThanAreRememberedAndMoreThanALaunchHolds) {
  for (std::int64_t i = 0; i < 240; ++i) sum(0, kOutputs + i, 100 + i % 12);
  launches();
  for (std::int64_t i = 0; i < 240; ++i) ASSERT_EQ(*at(kOutputs + i), 100 + i % 12);
  before_ = fake_cuda_launches();
  for (int i = 0; i < 250; ++i) sum(i * kCount, kOutputs + i);
  EXPECT_EQ(launches(), 3U);
  for (int i = 0; i < 250; ++i) ASSERT_EQ(*at(kOutputs + i), kCount);
}

TEST_F(CudaPacks, AlignmentIsAKindOfItsOwn) {
  for (int i = 0; i < 8; ++i) sum(i % 4, kOutputs + i, 1000);
  EXPECT_EQ(launches(), 4U);
}

TEST_F(CudaPacks, ReadsAfterWrites) {
  // Each row's sum, and the sum of those.
  for (int i = 0; i < 5; ++i) {
    sum_rows(i * kCount, kOutputs + i * kSide);
    sum(kOutputs + i * kSide, kOutputs + 1000 + i, kSide);
  }
  launches();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(*at(kOutputs + 1000 + i), kCount);
}

TEST_F(CudaPacks, WritesAfterReads) {
  sum(0, kOutputs);
  sum(kCount, kCount - 1);  // the last element that the one before reads
  sum(0, kOutputs + 1);
  EXPECT_EQ(launches(), 3U);
  EXPECT_EQ(*at(kOutputs), kCount);
  EXPECT_EQ(*at(kOutputs + 1), 2 * kCount - 1);
}

TEST_F(CudaPacks, WritesAfterWrites) {
  for (int i = 0; i < 4; ++i) {
    std::fill_n(at(i * kCount), kCount, static_cast<float>(i));
    sum(i * kCount, kOutputs);
  }
  EXPECT_EQ(launches(), 4U);
  EXPECT_EQ(*at(kOutputs), 3 * kCount);
}

TEST_F(CudaPacks, OtherWorkKeepsItsPlace) {
  sum(0, kOutputs);
  stream_.fill(at(0), 0, kCount * sizeof(float));
  sum(0, kOutputs + 1);
  stream_.copy(at(0), at(kOutputs), sizeof(float));
  sum(0, kOutputs + 2);
  EXPECT_EQ(launches(), 3U);
  EXPECT_EQ(*at(kOutputs), kCount);
  EXPECT_EQ(*at(kOutputs + 1), 0);
  EXPECT_EQ(*at(kOutputs + 2), kCount);
}

TEST_F(CudaPacks, OutputsThatAreFreedAtOnceAreDifferentBlocks) {
  std::set<void*> outputs;
  const auto round = [&](int count) {
    outputs.clear();
    for (int i = 0; i < count; ++i) {
      void* const output = device_.allocate(stream_, sizeof(float));
      outputs.insert(output);
      reduce(stream_, ReduceOp::sum, contiguous(at(i * kCount), DType::f32, {kCount}),
             contiguous(output, DType::f32, {}));
      device_.deallocate(output);
    }
    return launches();
  };
  EXPECT_EQ(round(32), 1U);
  EXPECT_EQ(outputs.size(), 32U);
  // What was submitted is used again.
  const std::set<void*> before = outputs;
  before_ = fake_cuda_launches();
  EXPECT_EQ(round(16), 1U);
  EXPECT_TRUE(std::includes(before.begin(), before.end(), outputs.begin(), outputs.end()));
}

TEST_F(CudaPacks, CommandBuffersDoNot) {
  sum(0, kOutputs);
  sum(kCount, kOutputs + 1);
  stream_.commit();
  sum(0, kOutputs + 2);
  sum(kCount, kOutputs + 3);
  EXPECT_EQ(launches(), 2U);
}

TEST_F(CudaPacks, ARefusedLaunchFailsTheBufferAndNoOther) {
  refuse_fake_cuda_launches(cudaErrorInvalidConfiguration);
  for (int i = 0; i < 3; ++i) sum(i * kCount, kOutputs + i);
  const CommandBuffer failed = stream_.commit();
  expect_failure(failed, ErrorCode::WorkFailed, "3 of them in one launch");
  refuse_fake_cuda_launches(cudaSuccess);
  before_ = fake_cuda_launches();
  sum(0, kOutputs + 10);
  sum(kCount, kOutputs + 11);
  EXPECT_EQ(launches(), 1U);
  // What the failed one held is not launched with what follows.
  EXPECT_EQ(*at(kOutputs), 1);
  EXPECT_EQ(*at(kOutputs + 10), kCount);
}

TEST_F(CudaPacks, WhatComesBeforeAFailureRuns) {
  sum(0, kOutputs);
  sum(kCount, kOutputs + 1);
  std::vector<float> host(kCount);
  reduce(stream_, ReduceOp::sum, contiguous(host.data(), DType::f32, {kCount}),
         contiguous(at(kOutputs + 2), DType::f32, {}));
  sum(0, kOutputs + 3);
  const CommandBuffer failed = stream_.commit();
  expect_failure(failed, ErrorCode::InvalidArgument, "host memory");
  EXPECT_EQ(*at(kOutputs), kCount);
  EXPECT_EQ(*at(kOutputs + 1), kCount);
  EXPECT_EQ(*at(kOutputs + 3), 1);
}

TEST_F(CudaPacks, CapturedWorkIsAsItWasRecorded) {
  Capture capture = device_.capture();
  Stream captured = capture.stream();
  for (int i = 0; i < 4; ++i) {
    reduce(captured, ReduceOp::sum, contiguous(at(i * kCount), DType::f32, {kCount}),
           contiguous(at(kOutputs + i), DType::f32, {}));
  }
  Graph graph = capture.end();
  EXPECT_EQ(fake_cuda_launches() - before_, 4U);
  for (int round = 0; round < 2; ++round) {
    std::fill_n(at(kOutputs), 4, 0.0F);
    graph.launch(stream_);
    stream_.wait();
    for (int i = 0; i < 4; ++i) EXPECT_EQ(*at(kOutputs + i), kCount);
  }
}

}  // namespace
}  // namespace millrace::test
