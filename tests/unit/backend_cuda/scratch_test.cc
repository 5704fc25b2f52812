// What reductions need of the device's memory besides their tensors. The driver that plays the device runs no
// kernels, so nothing that is recorded here is committed.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <chrono>
#include <cstdint>
#include <vector>

#include "support/fake_cuda.h"

namespace millrace::test {
namespace {

constexpr std::size_t kKiB = 1024, kMiB = 1024 * kKiB;

class CudaScratch : public testing::Test {
 protected:
  static void SetUpTestSuite() { install_fake_cuda(); }
  void TearDown() override { device_.stream().command_buffer().abandon(); }

  void record_sum(std::int64_t count) {
    reduce(device_.stream(), ReduceOp::sum, contiguous(in_.data(), DType::f32, {count}),
           contiguous(out_.data(), DType::f32, {}));
  }

  Device device_ = Device::create(
      "cuda:0", {.memory_limit = 80 * kMiB, .out_of_memory_wait = std::chrono::milliseconds(5)});
  const Buffer in_ = device_.buffer(64 * kMiB), out_ = device_.buffer(4);
};

TEST_F(CudaScratch, IsAllocatedAndFreedInTheStreamsOrder) {
  const MemoryStats before = device_.memory();
  record_sum(1 << 24);
  const MemoryStats after = device_.memory();
  EXPECT_EQ(after.allocations, before.allocations + 1);
  EXPECT_EQ(after.frees, before.frees + 1);
  EXPECT_EQ(after.live, before.live);
  EXPECT_GT(after.peak_live, before.live);
  EXPECT_EQ(fake_cuda_memory(), after.committed);  // nothing beside it
  device_.check_accounting();
}

TEST_F(CudaScratch, SmallReductionsNeedNone) {
  const MemoryStats before = device_.memory();
  record_sum(1000);
  EXPECT_EQ(device_.memory().allocations, before.allocations);
}

TEST_F(CudaScratch, IsWithinTheLimit) {
  std::vector<Buffer> all;
  for (std::size_t bytes = kMiB; bytes >= 512; bytes /= 2) {
    try {
      for (;;) all.push_back(device_.buffer(bytes));
    } catch (const OutOfMemoryError&) {
    }
  }
  EXPECT_THROW(record_sum(1 << 24), OutOfMemoryError);
  all.clear();
  EXPECT_NO_THROW(record_sum(1 << 24));
}

}  // namespace
}  // namespace millrace::test
