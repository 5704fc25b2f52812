// The whole runtime over a driver that plays the device.
#include <gtest/gtest.h>
#include <millrace/device.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <vector>

#include "support/fake_cuda.h"

namespace millrace::test {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

class CudaDevice : public testing::Test {
 protected:
  static void SetUpTestSuite() { install_fake_cuda(); }
  void TearDown() override { fail_fake_cuda(CUDA_SUCCESS); }
};

TEST_F(CudaDevice, CopiesThereAndBack) {
  Device device = Device::create("cuda:0");
  Stream stream = device.stream();
  const Buffer buffer = device.buffer(3 * kMiB);
  std::vector<std::uint8_t> there(buffer.size(), 9);
  std::vector<std::uint8_t> back(buffer.size());
  stream.copy(buffer.data(), there.data(), there.size());
  stream.fill(buffer.as<std::uint8_t>() + kMiB, 4, kMiB);
  stream.copy(back.data(), buffer.data(), back.size());
  stream.wait();
  EXPECT_EQ(back.front(), 9);
  EXPECT_EQ(back[kMiB + 7], 4);
  EXPECT_EQ(back.back(), 9);
}

TEST_F(CudaDevice, AFreeAndAnAllocationAskTheDriverNothing) {
  Device device = Device::create("cuda:0");
  std::array<void*, 64> live{};
  const auto pairs = [&](std::size_t rounds) {
    for (std::size_t round = 0; round < rounds; ++round) {
      for (std::size_t i = 0; i < live.size(); ++i) {
        device.deallocate(live[i]);
        live[i] = device.allocate(512 << (i + round) % 11);
      }
    }
  };
  pairs(50);
  const std::size_t before = fake_cuda_calls();
  pairs(1000);
  EXPECT_EQ(fake_cuda_calls(), before);
  for (void* block : live) device.deallocate(block);
}

// Three calls a commit; one for each two blocks would be 24,576.
TEST_F(CudaDevice, GrowthInSmallBlocksTakesFewCallsOfTheDriver) {
  install_fake_cuda(1, std::size_t{64} << 30);
  {
    Device device = Device::create("cuda:0");
    std::vector<void*> blocks;
    const std::size_t before = fake_cuda_calls();
    for (int i = 0; i < 16 * 1024; ++i) blocks.push_back(device.allocate(kMiB));
    EXPECT_LE(fake_cuda_calls() - before, 2'400U);
    EXPECT_LE(device.memory().committed, (std::size_t{16} << 30) / 128 * 129 + 4 * kMiB);
    for (void* block : blocks) device.deallocate(block);
  }
  install_fake_cuda();
}

TEST_F(CudaDevice, TrimGivesBackWholeChunks) {
  Device device = Device::create("cuda:0");
  std::vector<void*> blocks;
  for (int i = 0; i < 40; ++i)
    blocks.push_back(device.allocate((static_cast<std::size_t>(i) % 5 + 1) * kMiB));
  for (std::size_t i = 0; i < blocks.size(); i += 2) device.deallocate(blocks[i]);
  device.trim();
  EXPECT_EQ(device.memory().committed, fake_cuda_memory());
  device.check_accounting();
  for (std::size_t i = 1; i < blocks.size(); i += 2) device.deallocate(blocks[i]);
  device.trim();
  EXPECT_EQ(device.memory().committed, 0U);
  EXPECT_EQ(fake_cuda_memory(), 0U);
}

TEST_F(CudaDevice, TheDevicesOwnLimitGoesThroughTheProcedure) {
  Device device = Device::create("cuda:0", {.out_of_memory_wait = std::chrono::milliseconds(10)});
  EXPECT_THROW((void)device.allocate(device.info().memory_bytes + kMiB), OutOfMemoryError);
  void* const block = device.allocate(kMiB);
  device.deallocate(block);
}

TEST_F(CudaDevice, ALostDeviceIsToldToEverybodyAndCloses) {
  Device device = Device::create("cuda:0");
  Stream stream = device.stream();
  const Buffer buffer = device.buffer(4096);
  fail_fake_cuda(CUDA_ERROR_ILLEGAL_ADDRESS);
  std::atomic<int> handlers{0};
  for (int i = 0; i < 8; ++i) {
    stream.fill(buffer.data(), 1, buffer.size());
    stream.on_completed([&](const Completion& completion) {
      if (completion.status == BufferStatus::failed) ++handlers;
    });
    stream.commit();
  }
  try {
    stream.wait();
    FAIL() << "it went well";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::DeviceLost);
  }
  device.close();
  EXPECT_EQ(handlers, 8);
}

}  // namespace
}  // namespace millrace::test
