// Devices that map no memory into reserved addresses, over a driver that plays one.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <cstdint>
#include <cstdlib>
#include <vector>

#include "support/expect_error.h"
#include "support/fake_cuda.h"

namespace millrace::test {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

class CudaSegments : public testing::Test {
 protected:
  void SetUp() override {
    install_fake_cuda(2);
    set_fake_cuda_attribute(CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, 0);
  }
  void TearDown() override { install_fake_cuda(); }
};

TEST_F(CudaSegments, WhatIsCommittedIsTheDriversAndGoesBack) {
  {
    Device device = Device::create("cuda:0", {.memory_limit = 256 * kMiB});
    std::vector<Buffer> held;
    for (std::size_t bytes = 512; bytes < 40 * kMiB; bytes *= 3) held.push_back(device.buffer(bytes));
    EXPECT_EQ(fake_cuda_memory(), device.memory().committed);
    device.check_accounting();
    held.resize(held.size() / 2);
    device.trim();
    EXPECT_EQ(fake_cuda_memory(), device.memory().committed);
    held.clear();
    device.trim();
    EXPECT_EQ(fake_cuda_memory(), 0U);
    EXPECT_EQ(device.memory().heaps_created, device.memory().heaps_released);
    held.push_back(device.buffer(kMiB));
  }
  EXPECT_EQ(fake_cuda_memory(), 0U);
}

TEST_F(CudaSegments, TheNumberOfSegmentsGrowsWithTheLogarithmOfTheBytes) {
  Device device = Device::create("cuda:0", {.memory_limit = 4096 * kMiB});
  std::vector<Buffer> held;
  for (int i = 0; i < 3000; ++i) held.push_back(device.buffer(kMiB));
  EXPECT_LE(device.memory().heaps_created, 40U);
  EXPECT_LE(device.memory().committed, 3750 * kMiB);
}

TEST_F(CudaSegments, TheLimitIsHardAndCanBeReached) {
  Device device = Device::create("cuda:0", {.memory_limit = 100 * kMiB});
  std::vector<Buffer> held;
  EXPECT_THROW(
      {
        for (;;) held.push_back(device.buffer(kMiB));
      },
      OutOfMemoryError);
  EXPECT_EQ(held.size(), 100U);
  EXPECT_LE(device.memory().peak_committed, 100 * kMiB);
}

TEST_F(CudaSegments, CopiesFillsAndPeers) {
  Device first = Device::create("cuda:0"), second = Device::create("cuda:1");
  for (const bool granted : {false, true}) {
    if (granted) {
      first.grant_access(second);
      first.grant_access(second);
    }
    const Buffer here = first.buffer(3 * kMiB), there = second.buffer(3 * kMiB);
    Stream stream = first.stream(), others = second.stream();
    stream.fill(here.data(), 5, here.size());
    stream.copy(there.data(), here.data(), here.size());
    stream.wait();
    std::vector<std::uint8_t> back(there.size());
    others.copy(back.data(), there.data(), back.size());
    others.wait();
    EXPECT_EQ(back.back(), 5);
    others.fill(here.data(), 6, kMiB);
    if (granted) {
      EXPECT_NO_THROW(others.wait());
    } else {
      expect_code(ErrorCode::InvalidArgument, [&] { others.wait(); });
    }
  }
}

TEST_F(CudaSegments, CanBeAskedForWhereMemoryCouldBeMapped) {
  set_fake_cuda_attribute(CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, 1);
  setenv("MILLRACE_CUDA_VIRTUAL_MEMORY", "off", 1);
  Device device = Device::create("cuda:0");
  unsetenv("MILLRACE_CUDA_VIRTUAL_MEMORY");
  device.buffer(kMiB).reset();
  EXPECT_EQ(device.memory().committed, 2 * kMiB);
  EXPECT_EQ(device.memory().heaps_created, 1U);
  const Buffer other_heap = device.buffer(3 * kMiB);
  const Buffer third = device.buffer(7 * kMiB);
  EXPECT_EQ(device.memory().heaps_created, 3U);  // one would have grown in place
}

}  // namespace
}  // namespace millrace::test
