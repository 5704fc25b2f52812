// Pinned memory on a real device: that the driver knows it, that copies do not wait, that work reaches it.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "gpu/gpu_test.h"
#include "gpu/kernels.h"
#include "support/pattern.h"
#include "support/scale.h"
#include "support/staging.h"

namespace millrace::test {
namespace {

using std::chrono::steady_clock;

constexpr std::size_t kMiB = std::size_t{1} << 20;

class GpuPinned : public GpuTest {};

double seconds_since(steady_clock::time_point start) {
  return std::chrono::duration<double>(steady_clock::now() - start).count();
}

TEST_F(GpuPinned, TheDriverTakesItForRegisteredHostMemory) {
  Device device = Device::create("cuda:0");
  for (const std::size_t bytes : {std::size_t{64}, 700 * (kMiB / 1024), 5 * kMiB, 100 * kMiB}) {
    const Buffer buffer = device.pinned_buffer(bytes);
    for (const std::size_t at : {std::size_t{0}, bytes - 1}) {
      cudaPointerAttributes attributes{};
      ASSERT_EQ(cudaPointerGetAttributes(&attributes, buffer.as<std::byte>() + at), cudaSuccess);
      EXPECT_EQ(attributes.type, cudaMemoryTypeHost);
      EXPECT_EQ(attributes.devicePointer, buffer.as<std::byte>() + at);
    }
  }
}

TEST_F(GpuPinned, KernelsReadAndWriteItInPlace) {
  constexpr std::size_t kWords = 1 << 20;
  Device device = Device::create("cuda:0");
  Stream stream = device.stream();
  const Buffer buffer = device.pinned_buffer(kWords * 4);
  auto* const words = buffer.as<std::uint32_t>();
  for (std::size_t i = 0; i < kWords; ++i) words[i] = static_cast<std::uint32_t>(i);
  {
    const NativeRecorder native = stream.record_native({writes(words, buffer.size())});
    ASSERT_EQ(launch_add_one(driver_stream(native), words, kWords), cudaSuccess);
  }
  stream.wait();
  for (std::size_t i = 0; i < kWords; ++i) ASSERT_EQ(words[i], i + 1);
}

// No copy, ours or a caller's, reaches from one registration into the next, which the driver would refuse.
TEST_F(GpuPinned, EveryBlockCanBeCopiedWhole) {
  Device device = Device::create("cuda:0", {.pinned_limit = 1024 * kMiB});
  Stream stream = device.stream();
  const Buffer target = device.buffer(64 * kMiB);
  std::vector<Buffer> held;
  for (std::size_t i = 0; i < 300; ++i) held.push_back(device.pinned_buffer((1 + i % 37) * 50 * 1024));
  for (std::size_t i = 0; i < 12; ++i) held.push_back(device.pinned_buffer((3 + 4 * i) * kMiB + 100 * 1024));
  {
    const NativeRecorder native = stream.record_native();
    for (const Buffer& buffer : held) {
      ASSERT_EQ(cudaMemcpyAsync(target.data(), buffer.data(), buffer.size(), cudaMemcpyHostToDevice,
                                driver_stream(native)),
                cudaSuccess);
    }
  }
  for (const Buffer& buffer : held) stream.copy(buffer.data(), target.data(), buffer.size());
  EXPECT_NO_THROW(stream.wait());
}

// With pageable memory the driver would hold whoever commits, and the copies would be the threads' for tasks.
TEST_F(GpuPinned, CopiesAreQueuedBehindWorkThatIsStillRunning) {
  constexpr std::size_t kBytes = 64 * kMiB;
  Device device = Device::create("cuda:0", {.workers = 1});
  Stream stream = device.stream();
  const Buffer target = device.buffer(kBytes);
  Buffer there = device.pinned_buffer(kBytes), back = device.pinned_buffer(kBytes);
  write_pattern(there.data(), kBytes, 1);
  stream.wait();
  const auto start = steady_clock::now();
  {
    const NativeRecorder native = stream.record_native();
    ASSERT_EQ(launch_set(driver_stream(native), target.as<std::uint32_t>(), 32, 1, 400'000'000), cudaSuccess);
  }
  stream.copy(target.data(), there.data(), kBytes);
  stream.copy(back.data(), target.data(), kBytes);
  stream.commit();
  const double queued = seconds_since(start);
  stream.wait();
  const double done = seconds_since(start);
  EXPECT_LT(queued, done / 2);
  EXPECT_TRUE(has_pattern(back.data(), kBytes, 1));
}

TEST_F(GpuPinned, CopiesRunAtTheSpeedOfTheLink) {
  constexpr std::size_t kBytes = 256 * kMiB;
  Device device = Device::create("cuda:0");
  Stream stream = device.stream();
  const Buffer target = device.buffer(kBytes), pinned = device.pinned_buffer(kBytes);
  std::vector<std::byte> pageable(kBytes, std::byte{1});
  const auto gigabytes_a_second = [&](const void* from) {
    double best = 0;
    for (int i = 0; i < 5; ++i) {
      const auto start = steady_clock::now();
      stream.copy(target.data(), from, kBytes);
      stream.wait();
      best = std::max(best, static_cast<double>(kBytes) / seconds_since(start) / 1e9);
    }
    return best;
  };
  const double fast = gigabytes_a_second(pinned.data()), slow = gigabytes_a_second(pageable.data());
  std::printf("to the device: %.1f GB/s from pinned memory, %.1f GB/s from pageable\n", fast, slow);
  EXPECT_GT(fast, slow);
}

// A4 with large copies and sixteen threads.
TEST_F(GpuPinned, WhatWasStagedIsWhatArrives) {
  Device device = Device::create("cuda:0", {.pinned_limit = 512 * kMiB});
  stage_and_check(device, {.threads = 16, .most = 2 * kMiB, .rounds = scaled(300, 10)});
}

TEST_F(GpuPinned, WhatPairsAndGrowthTake) {
  Device device = Device::create("cuda:0");
  device.stream();
  device.deallocate(device.allocate_pinned(4096));
  constexpr int kPairs = 1'000'000;
  auto start = steady_clock::now();
  for (int i = 0; i < kPairs; ++i) device.deallocate(device.allocate_pinned(4096));
  std::printf("a free and an allocation of 4 KiB: %.1f ns\n", seconds_since(start) * 1e9 / kPairs);
  for (const std::size_t bytes : {2 * kMiB, 32 * kMiB, 256 * kMiB}) {
    device.trim();
    start = steady_clock::now();
    const Buffer buffer = device.pinned_buffer(bytes);
    const double grown = seconds_since(start);
    void* driver_own = nullptr;
    start = steady_clock::now();
    ASSERT_EQ(cudaMallocHost(&driver_own, bytes), cudaSuccess);
    std::printf("%zu MiB from cold: %.2f ms, cudaMallocHost %.2f ms\n", bytes / kMiB, grown * 1e3,
                seconds_since(start) * 1e3);
    ASSERT_EQ(cudaFreeHost(driver_own), cudaSuccess);
  }
}

}  // namespace
}  // namespace millrace::test
