// Pinned memory over a driver that plays the device, and refuses what a real one would.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <cstdint>
#include <vector>

#include "support/expect_error.h"
#include "support/fake_cuda.h"
#include "support/held_stream.h"
#include "support/pattern.h"

namespace millrace::test {
namespace {

constexpr std::size_t kKiB = 1024, kMiB = 1024 * kKiB;

class CudaPinned : public testing::Test {
 protected:
  static void SetUpTestSuite() { install_fake_cuda(); }
  void TearDown() override {
    fail_fake_cuda(CUDA_SUCCESS);
    install_fake_cuda();
  }
  static MemoryStats pinned(const Device& device) { return device.memory(MemoryKind::pinned); }
};

TEST_F(CudaPinned, WhatIsCommittedIsRegisteredAndGivenBack) {
  {
    Device device = Device::create("cuda:0");
    std::vector<Buffer> held;
    for (std::size_t bytes = 512; bytes < 40 * kMiB; bytes *= 3) held.push_back(device.pinned_buffer(bytes));
    EXPECT_EQ(fake_cuda_registered(), pinned(device).committed);
    EXPECT_EQ(fake_cuda_memory(), 0U);
    held.clear();
    device.trim();
    EXPECT_EQ(pinned(device).committed, 0U);
    EXPECT_EQ(fake_cuda_registered(), 0U);
    held.push_back(device.pinned_buffer(kMiB));
    EXPECT_GT(fake_cuda_registered(), 0U);
    device.close();
  }
  EXPECT_EQ(fake_cuda_registered(), 0U);
}

// The driver refuses copies that reach from one registration into the next, also of a caller's own.
TEST_F(CudaPinned, NoBlockReachesIntoAnotherRegistration) {
  Device device = Device::create("cuda:0", {.pinned_limit = 512 * kMiB});
  Stream stream = device.stream();
  const Buffer target = device.buffer(16 * kMiB);
  std::vector<Buffer> held;
  for (int i = 0; i < 200; ++i) held.push_back(device.pinned_buffer((1 + i % 37) * 50 * kKiB));
  for (int i = 0; i < 8; ++i) held.push_back(device.pinned_buffer((3 + i) * kMiB + 100 * kKiB));
  {
    const NativeRecorder native = stream.record_native();
    for (const Buffer& buffer : held) {
      EXPECT_EQ(fake_ordinary_copy(static_cast<CUstream>(native.stream()), target.data(), buffer.data(),
                                   buffer.size()),
                CUDA_SUCCESS);
    }
  }
  for (const Buffer& buffer : held) stream.copy(buffer.data(), target.data(), buffer.size());
  EXPECT_NO_THROW(stream.wait());
}

TEST_F(CudaPinned, CopiesAskTheDriverNotWhoseMemoryItIsAndNeedNoThread) {
  Device device = Device::create("cuda:0", {.workers = 1});
  StreamLease held = device.lease();
  Stream stream = device.stream();
  const Buffer target = device.buffer(4 * kMiB), staged = device.pinned_buffer(4 * kMiB),
               back = device.pinned_buffer(4 * kMiB);
  write_pattern(staged.data(), staged.size(), 5);
  const StreamHold only_worker(held.stream());
  const std::size_t before = fake_cuda_questions();
  for (int i = 0; i < 100; ++i) {
    stream.copy(target.data(), staged.data(), staged.size());
    stream.copy(back.data(), target.data(), back.size());
    stream.commit();
  }
  stream.wait();
  EXPECT_EQ(fake_cuda_questions(), before);
  EXPECT_TRUE(has_pattern(back.data(), back.size(), 5));
}

TEST_F(CudaPinned, AFreeAndAnAllocationAskTheDriverNothing) {
  Device device = Device::create("cuda:0");
  device.deallocate(device.allocate_pinned(4 * kKiB));
  const std::size_t before = fake_cuda_calls();
  for (int i = 0; i < 10'000; ++i) device.deallocate(device.allocate_pinned(4 * kKiB));
  EXPECT_EQ(fake_cuda_calls(), before);
  EXPECT_EQ(pinned(device).pending, 0U);
}

TEST_F(CudaPinned, TheOtherDevicesKnowItToo) {
  install_fake_cuda(2);
  Device first = Device::create("cuda:0"), second = Device::create("cuda:1");
  const Buffer staged = first.pinned_buffer(kMiB), target = second.buffer(kMiB);
  write_pattern(staged.data(), kMiB, 3);
  Stream stream = second.stream();
  const Buffer back = second.pinned_buffer(kMiB);
  stream.copy(target.data(), staged.data(), kMiB);
  stream.copy(back.data(), target.data(), kMiB);
  stream.wait();
  EXPECT_TRUE(has_pattern(back.data(), kMiB, 3));
}

TEST_F(CudaPinned, ADeviceThatCantUseHostAddressesSaysSo) {
  set_fake_cuda_attribute(CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM, 0);
  Device device = Device::create("cuda:0");
  expect_code(ErrorCode::Unsupported, [&] { device.allocate_pinned(kMiB); });
  EXPECT_NO_THROW(device.buffer(kMiB));
  device.check_accounting();
}

}  // namespace
}  // namespace millrace::test
