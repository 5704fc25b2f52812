// What the allocator promises at the size of a GPU.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "gpu/gpu_test.h"
#include "gpu/kernels.h"
#include "support/at_the_limit.h"
#include "support/counted_device.h"
#include "support/random.h"

namespace millrace::test {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20, kGiB = std::size_t{1} << 30;

class GpuMemory : public GpuTest {};

/// MILLRACE_TEST_SECONDS: how long threads stay at the limit.
int seconds_at_the_limit() {
  const char* const given = std::getenv("MILLRACE_TEST_SECONDS");
  return given != nullptr ? std::atoi(given) : 5;
}

TEST_F(GpuMemory, WhatOneStreamHasFreedServesAnotherWithoutACommit) {
  constexpr std::size_t kBytes = 20 * kGiB;
  Device device = Device::create("cuda:0");
  if (device.memory().limit < kBytes + kGiB) GTEST_SKIP() << "the device has less than 21 GiB";
  {
    StreamLease never_again = device.lease();
    std::vector<void*> blocks;
    for (std::size_t taken = 0; taken < kBytes; taken += 256 * kMiB)
      blocks.push_back(device.allocate(never_again.stream(), 256 * kMiB));
    never_again.stream().fill(blocks.back(), 1, 256 * kMiB);
    never_again.stream().wait();
    for (void* block : blocks) device.deallocate(block);
  }
  const std::size_t committed = device.memory().committed;
  const std::uint64_t peak = device.memory().peak_committed;
  device.set_memory_limit(committed);  // from here on a commit would have to fail
  StreamLease other = device.lease();
  while (other.stream().id() == 0) other = device.lease();
  std::vector<Buffer> blocks;
  for (std::size_t taken = 0; taken < kBytes; taken += 512 * kMiB)
    blocks.push_back(device.buffer(other.stream(), 512 * kMiB));
  EXPECT_EQ(device.memory().committed, committed);
  EXPECT_EQ(device.memory().peak_committed, peak);
  device.check_accounting();
}

// Free memory in the middle of what was allocated is found, whatever its neighbours were: the case in which
// other allocators, which keep segments apart, report that memory is out beside a block that fits.
TEST_F(GpuMemory, AFreeRangeThatFitsIsFound) {
  Device device = Device::create("cuda:0", {.memory_limit = 4 * kGiB});
  std::vector<Buffer> pieces;
  for (int i = 0; i < 64; ++i) pieces.push_back(device.buffer(64 * kMiB));
  EXPECT_THROW(device.allocate(kMiB), OutOfMemoryError);
  // Seven neighbours of 64 MiB, freed in an order that leaves none of them whole at first.
  for (const std::size_t i : {20, 26, 22, 24, 21, 25, 23}) pieces[i].reset();
  Buffer found;
  EXPECT_NO_THROW(found = device.buffer(7 * 64 * kMiB));
  EXPECT_EQ(device.memory().committed, 4 * kGiB);
}

// The case of PyTorch's issue 189504: the device is full, and the only block that fits is still used by a
// kernel on another stream. The first call has it.
TEST_F(GpuMemory, ABlockThatAnotherStreamStillUsesIsFoundByTheFirstCall) {
  constexpr std::size_t kBlock = 512 * kMiB;
  constexpr long long kTicks = 20'000'000;  // some ten milliseconds
  Device device = Device::create("cuda:0", {.memory_limit = 2 * kGiB});
  ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
  const StreamLease own = device.lease(), side = device.lease(), third = device.lease();
  std::vector<Buffer> blocks;
  for (int i = 0; i < 4; ++i) blocks.push_back(device.buffer(own.stream(), kBlock));
  for (int round = 0; round < 10; ++round) {
    Buffer& block = blocks[static_cast<std::size_t>(round % 4)];
    own.stream().fill(block.data(), 1, 4096);
    own.stream().commit();
    {
      Stream stream = side.stream();
      const NativeRecorder native = stream.record_native();
      ASSERT_EQ(launch_set(driver_stream(native), block.as<std::uint32_t>(), 1024, 7, kTicks), cudaSuccess);
    }
    device.record_stream(block.data(), side.stream());
    side.stream().commit();
    block.reset();
    // Of the stream that had it, and of one that never did.
    const StreamLease& asking = round % 2 == 0 ? own : third;
    ASSERT_NO_THROW(block = device.buffer(asking.stream(), kBlock)) << "round " << round;
    EXPECT_EQ(device.memory().committed, 2 * kGiB);
  }
  device.synchronize();
  device.check_accounting();
}

// M2 at every commit, by the test's own books; and at barriers what fits is had and what does not is refused.
TEST_F(GpuMemory, SixteenThreadsAtTheLimit) {
  if (!heaps_grow_in_place()) GTEST_SKIP() << "this device takes back whole heaps";
  constexpr std::size_t kLimit = 128 * kMiB;  // its chunks are granules, so the rule is exact
  const std::uint64_t seed = seed_of_run();
  const auto ledger = std::make_shared<MemoryLedger>();
  ledger->set_limit(kLimit);
  {
    Device device = create_counted_device(
        "cuda:0", {.memory_limit = kLimit, .out_of_memory_wait = std::chrono::milliseconds(50)}, ledger);
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds_at_the_limit());
    const AtTheLimitResult result = run_at_the_limit(
        device, seed, {.limit = kLimit, .threads = 16, .operations = 400, .go_on = [&](std::size_t) {
                         return std::chrono::steady_clock::now() < end;
                       }});
    std::printf("%zu rounds, %zu allocations refused, %zu had to fit and did\n", result.rounds,
                result.refused, result.fitted);
    EXPECT_GT(result.fitted, 0U);
    EXPECT_GT(result.refused, 0U);
    EXPECT_EQ(device.memory().live, 0U);
    EXPECT_EQ(device.memory().committed, ledger->bytes());
    device.trim();
    EXPECT_EQ(ledger->bytes(), 0U);
    const Buffer all = device.buffer(kLimit);
    EXPECT_LE(device.memory().peak_committed, kLimit);
  }
  EXPECT_EQ(ledger->bytes(), 0U);
  EXPECT_EQ(ledger->heaps(), 0U);
}

}  // namespace
}  // namespace millrace::test
