// What allocate and deallocate promise, one thread at a time.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "support/device_pattern.h"
#include "support/expect_error.h"
#include "support/held_stream.h"
#include "support/test_device.h"
#include "support/watchdog.h"

namespace millrace::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kKiB = 1024, kMiB = 1024 * kKiB;

class AllocatorTest : public testing::Test {
 protected:
  Watchdog watchdog_{"an allocator test", seconds(100)};
  Device device_ = create_test_device({.memory_limit = 512 * kMiB});
  const DevicePatterns patterns_{device_};
};

std::uintptr_t number(const void* address) {
  return reinterpret_cast<std::uintptr_t>(address);
}

TEST_F(AllocatorTest, ZeroBytesGiveAddressesOfTheirOwn) {
  std::set<void*> seen;
  for (int i = 0; i < 100; ++i) {
    void* address = device_.allocate(0);
    EXPECT_NE(address, nullptr);
    EXPECT_TRUE(seen.insert(address).second);
  }
  for (void* address : seen) device_.deallocate(address);
  EXPECT_EQ(device_.memory().live, 0u);
}

TEST_F(AllocatorTest, AlignsTo512BytesUnlessMoreIsAsked) {
  std::vector<void*> blocks;
  for (const std::size_t bytes : {std::size_t{1}, 511 * kKiB + 3, kMiB, kMiB + 1, 5 * kMiB}) {
    for (std::size_t alignment = 1; alignment <= 8 * kMiB; alignment *= 2) {
      blocks.push_back(device_.allocate(bytes, alignment));
      EXPECT_EQ(number(blocks.back()) % std::max<std::size_t>(alignment, 512), 0u)
          << bytes << " bytes, aligned to " << alignment;
      patterns_.write(blocks.back(), bytes, number(blocks.back()));
      if (blocks.size() < 12) continue;
      for (void* block : blocks) device_.deallocate(block);
      blocks.clear();
    }
  }
  for (void* block : blocks) device_.deallocate(block);
  device_.check_accounting();
}

TEST_F(AllocatorTest, RefusesAlignmentsThatAreNoPowerOfTwo) {
  for (const std::size_t alignment : {std::size_t{0}, std::size_t{3}, std::size_t{513}, std::size_t{768}}) {
    expect_code(ErrorCode::InvalidArgument, [&] { device_.allocate(64, alignment); });
  }
}

TEST_F(AllocatorTest, LiveBlocksNeverOverlap) {
  struct Block {
    void* data;
    std::size_t bytes;
  };
  std::vector<Block> blocks;
  for (std::size_t bytes = 1; bytes < 24 * kMiB; bytes += bytes / 3 + 1) {
    blocks.push_back({device_.allocate(bytes), bytes});
    device_.stream().fill(blocks.back().data, 0, bytes);  // all of it is usable
    device_.stream().wait();
    patterns_.write(blocks.back().data, bytes, bytes);
  }
  for (const Block& block : blocks)
    EXPECT_TRUE(patterns_.check(block.data, block.bytes, block.bytes)) << block.bytes;
  for (const Block& block : blocks) device_.deallocate(block.data);
  EXPECT_EQ(device_.memory().live, 0u);
}

TEST_F(AllocatorTest, ImpossibleSizesAreOutOfMemoryAndNotWrappedAround) {
  const std::size_t most = std::numeric_limits<std::size_t>::max();
  for (const std::size_t bytes : {most, most - 511, most / 2 + 1, std::size_t{1} << 46}) {
    expect_code(ErrorCode::OutOfMemory, [&] { device_.allocate(bytes); });
  }
  EXPECT_EQ(device_.memory().live, 0u);
  device_.check_accounting();
}

TEST_F(AllocatorTest, RefusesAddressesThatAreNotAllocations) {
  device_.deallocate(nullptr);
  int local = 0;
  auto* block = static_cast<std::byte*>(device_.allocate(64 * kKiB));
  auto* large = static_cast<std::byte*>(device_.allocate(10 * kMiB));
  expect_code(ErrorCode::InvalidArgument, [&] { device_.deallocate(&local); });
  expect_code(ErrorCode::InvalidArgument, [&] { device_.deallocate(block + 1); });
  expect_code(ErrorCode::InvalidArgument, [&] { device_.deallocate(block + 512); });
  expect_code(ErrorCode::InvalidArgument, [&] { device_.deallocate(large + 4 * kMiB); });
  expect_code(ErrorCode::InvalidArgument,
              [&] { device_.deallocate(reinterpret_cast<void*>(~std::uintptr_t{511})); });
  expect_code(ErrorCode::InvalidArgument, [&] { device_.record_use(&local, device_.stream()); });
  device_.deallocate(block);
  device_.deallocate(large);
  device_.check_accounting();
}

TEST_F(AllocatorTest, ASecondFreeIsRefused) {
  for (const std::size_t bytes : {std::size_t{100}, 100 * kKiB, 3 * kMiB}) {
    void* block = device_.allocate(bytes);
    device_.deallocate(block);
    expect_rule("double-free", [&] { device_.deallocate(block); });
    EXPECT_EQ(device_.memory().live, 0u);
  }
  // Also where the first free was another thread's.
  void* block = device_.allocate(4 * kKiB);
  std::thread([&] { device_.deallocate(block); }).join();
  expect_rule("double-free", [&] { device_.deallocate(block); });
  device_.check_accounting();
}

TEST_F(AllocatorTest, BuffersOwnTheirMemory) {
  {
    Buffer buffer = device_.buffer(1000);
    EXPECT_NE(buffer.data(), nullptr);
    EXPECT_EQ(buffer.size(), 1000u);
    Buffer moved = std::move(buffer);
    EXPECT_EQ(buffer.data(), nullptr);  // NOLINT(bugprone-use-after-move): that is what is asked
    buffer = device_.buffer(2000);
    buffer = std::move(moved);
    EXPECT_EQ(buffer.size(), 1000u);
    EXPECT_EQ(device_.memory().allocations - device_.memory().frees, 1u);
    buffer.reset();
    buffer.reset();
    EXPECT_EQ(device_.memory().live, 0u);
    Buffer released = device_.buffer(3000);
    void* data = released.release();
    EXPECT_EQ(released.data(), nullptr);
    EXPECT_GT(device_.memory().live, 0u);
    device_.deallocate(data);
  }
  EXPECT_EQ(device_.memory().live, 0u);
}

TEST_F(AllocatorTest, TheSameStreamReusesAtOnceWhileItsWorkIsStillQueued) {
  const Stream stream = device_.stream();
  StreamHold hold(stream);
  for (const std::size_t bytes : {64 * kKiB, 4 * kMiB}) {
    for (int i = 0; i < 100; ++i) {
      void* block = device_.allocate(bytes);
      Stream(stream).fill(block, static_cast<std::uint8_t>(i), bytes);
      device_.deallocate(block);
    }
  }
  EXPECT_LE(device_.memory().committed, 16 * kMiB);
  hold.open();
  device_.synchronize();
}

// A block that stream B still reads comes back to its own stream A: A's next writer must not overtake B.
void expect_reuse_after_use(Device device, bool whole_stream) {
  constexpr std::size_t kBytes = 256 * kKiB;
  StreamLease lease_a = device.lease(), lease_b = device.lease();
  Stream a = lease_a.stream(), b = lease_b.stream();
  void* block = device.allocate(a, kBytes);
  const DevicePatterns patterns(device);
  patterns.record_write(a, block, kBytes, 1);
  Event written = device.event();
  written.record(a);
  a.commit();
  b.wait_event(written);
  const Buffer seen = device.buffer(b, kBytes);
  StreamHold hold(b);
  const auto read = [&] {
    b.copy(seen.data(), block, kBytes);
    b.commit();
  };
  if (whole_stream) {
    device.record_stream(block, b);
    read();
  } else {
    read();
    device.record_use(block, b);
  }
  device.deallocate(block);

  std::vector<Buffer> again;
  for (int i = 0; i < 8; ++i) {
    again.push_back(device.buffer(a, kBytes));
    a.fill(again.back().data(), 2, kBytes);
  }
  a.commit();
  try {
    a.wait(milliseconds(50));  // long enough for a writer that nothing holds
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::TimedOut) << error.what();
  }
  hold.open();
  device.synchronize();
  EXPECT_TRUE(patterns.check(seen.data(), kBytes, 1));
}

TEST_F(AllocatorTest, RecordedUsesOnAnotherStreamEndBeforeReuse) {
  expect_reuse_after_use(device_, false);
}
TEST_F(AllocatorTest, RecordStreamCoversWhatIsQueuedAtTheFree) {
  expect_reuse_after_use(device_, true);
}

TEST_F(AllocatorTest, BlocksInUseElsewhereArePendingUntilThatEnds) {
  StreamLease lease_a = device_.lease(), lease_b = device_.lease();
  void* block = device_.allocate(lease_a.stream(), 8 * kMiB);
  StreamHold hold(lease_b.stream());
  device_.record_use(block, lease_b.stream());
  device_.deallocate(block);
  EXPECT_GE(device_.memory().pending, 8 * kMiB);
  EXPECT_EQ(device_.memory().live, 0u);
  device_.trim();
  EXPECT_GE(device_.memory().committed, 8 * kMiB);  // memory that work may use is not given back
  device_.check_accounting();
  hold.open();
  device_.synchronize();
  device_.trim();
  EXPECT_EQ(device_.memory().pending, 0u);
  EXPECT_EQ(device_.memory().committed, 0u);
}

TEST_F(AllocatorTest, FreeingWhatAnotherStreamUsesUnrecordedIsRefused) {
  StreamLease lease_a = device_.lease(), lease_b = device_.lease();
  Stream b = lease_b.stream();
  void* block = device_.allocate(lease_a.stream(), 4 * kKiB);
  StreamHold hold(b);
  b.fill(block, 1, 4 * kKiB);
  b.commit();
  expect_rule("freed-while-in-use", [&] { device_.deallocate(block); });
  device_.record_use(block, b);
  device_.deallocate(block);
  hold.open();
  device_.synchronize();
  device_.check_accounting();
  EXPECT_EQ(device_.memory().live, 0u);
}

TEST_F(AllocatorTest, DiscardableMemoryIsNotUsedAndNotDiscardedInUse) {
  Stream stream = device_.stream();
  Buffer buffer = device_.buffer(4 * kKiB);
  StreamHold hold(stream);
  stream.fill(buffer.data(), 1, 4 * kKiB);
  stream.commit();
  expect_rule("purgeable-in-use", [&] { device_.make_discardable(buffer.data()); });
  hold.open();
  stream.wait();
  device_.make_discardable(buffer.data());
  expect_rule("purgeable-in-use", [&] {
    stream.fill(buffer.data(), 2, 4 * kKiB);
    stream.commit();
  });
  device_.make_resident(buffer.data());
  stream.fill(buffer.data(), 3, 4 * kKiB);
  stream.wait();
  EXPECT_EQ(read_one(stream, buffer.as<std::uint8_t>() + 4095), 3);
}

TEST(ThreadCacheBounds, AThreadHoardsNoMoreThanTheOptionSays) {
  const Watchdog watchdog("cache bounds", seconds(60));
  Device device = create_test_device(
      {.memory_limit = 512 * kMiB, .thread_cache_bytes = 4 * kMiB, .all_caches_bytes = 6 * kMiB});
  for (int round = 0; round < 3; ++round) {
    std::vector<Buffer> held;
    for (int i = 0; i < 200; ++i) held.push_back(device.buffer(128 * kKiB));
    held.clear();
    EXPECT_LE(device.memory().cached, 4 * kMiB);
  }
  const auto hoard = [&] {
    std::vector<Buffer> held;
    for (int i = 0; i < 200; ++i) held.push_back(device.buffer(64 * kKiB));
    held.clear();
    EXPECT_LE(device.memory().cached, 6 * kMiB);
  };
  std::thread([&] {
    hoard();
    std::thread(hoard).join();
  }).join();
  device.check_accounting();
}

}  // namespace
}  // namespace millrace::test
