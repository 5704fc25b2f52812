// What the allocator promises at the size of a GPU.
#include <cstdint>
#include <vector>

#include "gpu/gpu_test.h"

namespace millrace::test {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20, kGiB = std::size_t{1} << 30;

class GpuMemory : public GpuTest {};

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

}  // namespace
}  // namespace millrace::test
