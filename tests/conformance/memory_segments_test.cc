// The listing of a device's memory: every block in its place, also while threads allocate and free.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "support/held_stream.h"
#include "support/random.h"
#include "support/scale.h"
#include "support/test_device.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

constexpr std::size_t kKiB = 1024, kMiB = 1024 * kKiB;

struct Sums {
  std::size_t committed = 0, live = 0, cached = 0, pending = 0;
};

/// What holds of a listing at any time.
Sums sums_of(const std::vector<MemorySegment>& segments, MemoryKind kind = MemoryKind::device) {
  Sums sums;
  EXPECT_TRUE(std::ranges::is_sorted(segments, std::less<>(), &MemorySegment::address));
  for (const MemorySegment& segment : segments) {
    auto at = reinterpret_cast<std::uintptr_t>(segment.address);
    const std::uintptr_t end = at + segment.bytes;
    EXPECT_EQ(segment.kind, kind);
    for (const MemoryBlock& block : segment.blocks) {
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block.address), at);
      EXPECT_GT(block.bytes, 0U);
      EXPECT_EQ(block.state == MemoryState::live, block.thread != 0);
      EXPECT_LE(block.requested, block.state == MemoryState::live ? block.bytes : 0);
      at += block.bytes;
      sums.live += block.state == MemoryState::live ? block.bytes : 0;
      sums.cached += block.state == MemoryState::cached ? block.bytes : 0;
      sums.pending += block.state == MemoryState::pending ? block.bytes : 0;
    }
    EXPECT_EQ(at, end) << "blocks fill their segment";
    sums.committed += segment.bytes;
  }
  return sums;
}

/// And what does while nothing changes.
void expect_exact(const Device& device, MemoryKind kind = MemoryKind::device) {
  const std::vector<MemorySegment> segments = device.memory_segments(kind);
  const Sums sums = sums_of(segments, kind);
  for (std::size_t i = 1; i < segments.size(); ++i) {
    const auto* const end = static_cast<const std::byte*>(segments[i - 1].address) + segments[i - 1].bytes;
    EXPECT_LE(end, segments[i].address) << "segments are apart";
  }
  const MemoryStats stats = device.memory(kind);
  EXPECT_EQ(sums.committed, stats.committed);
  EXPECT_EQ(sums.live, stats.live);
  EXPECT_EQ(sums.cached, stats.cached);
  EXPECT_EQ(sums.pending, stats.pending);
}

struct Found {
  const MemorySegment* segment = nullptr;
  const MemoryBlock* block = nullptr;
};

Found find(const std::vector<MemorySegment>& segments, const void* address) {
  for (const MemorySegment& segment : segments) {
    for (const MemoryBlock& block : segment.blocks) {
      if (block.address == address) return {&segment, &block};
    }
  }
  return {};
}

MemoryState state_of(const Device& device, const void* address) {
  const std::vector<MemorySegment> segments = device.memory_segments();
  const Found found = find(segments, address);
  EXPECT_NE(found.block, nullptr);
  return found.block == nullptr ? MemoryState::free : found.block->state;
}

TEST(MemorySegments, ADeviceThatHasNothingListsNothing) {
  Device device = create_test_device();
  EXPECT_TRUE(device.memory_segments().empty());
  device.buffer(5 * kMiB).reset();
  EXPECT_FALSE(device.memory_segments().empty());
  EXPECT_TRUE(device.memory_segments(MemoryKind::pinned).empty());
  device.trim();
  EXPECT_TRUE(device.memory_segments().empty());
}

TEST(MemorySegments, EachBlockStandsWhereItIs) {
  Device device = create_test_device();
  StreamLease own = device.lease(), other = device.lease();
  const Buffer small = device.buffer(own.stream(), 3000), large = device.buffer(other.stream(), 3 * kMiB);
  const std::vector<MemorySegment> segments = device.memory_segments();
  const Found one = find(segments, small.data()), two = find(segments, large.data());
  ASSERT_NE(one.block, nullptr);
  ASSERT_NE(two.block, nullptr);
  EXPECT_EQ(one.segment->stream, own.stream().id());
  EXPECT_EQ(two.segment->stream, other.stream().id());
  EXPECT_FALSE(one.segment->large);
  EXPECT_TRUE(two.segment->large);
  EXPECT_FALSE(one.segment->graph);
  EXPECT_EQ(one.block->state, MemoryState::live);
  EXPECT_GE(one.block->bytes, 3000U);
  EXPECT_EQ(two.block->bytes, 3 * kMiB);
  EXPECT_EQ(one.block->requested, 3000U);
  EXPECT_EQ(two.block->requested, 3 * kMiB);
  EXPECT_EQ(device.size_of(small.data()), one.block->bytes);
  EXPECT_EQ(device.size_of(large.data()), two.block->bytes);
  EXPECT_EQ(one.block->thread, two.block->thread);
  std::thread([&] {
    const Buffer theirs = device.buffer(own.stream(), 3000);
    const std::vector<MemorySegment> now = device.memory_segments();
    EXPECT_NE(find(now, theirs.data()).block->thread, one.block->thread);
  }).join();
  expect_exact(device);
}

TEST(MemorySegments, SumsAreTheFiguresInEachPlace) {
  const Watchdog watchdog("listing of each place");
  Device device = create_test_device();
  StreamLease own = device.lease(), other = device.lease();
  std::vector<Buffer> live;
  for (int i = 0; i < 30; ++i) live.push_back(device.buffer(own.stream(), 40 * kKiB));
  expect_exact(device);
  const void* const freed = live.back().data();
  for (int i = 0; i < 10; ++i) live.pop_back();
  EXPECT_EQ(state_of(device, freed), MemoryState::cached);
  expect_exact(device);
  std::barrier checked(2);
  std::thread elsewhere([&] {
    for (int i = 0; i < 7; ++i) live.pop_back();
    checked.arrive_and_wait();
    checked.arrive_and_wait();
  });
  checked.arrive_and_wait();
  expect_exact(device);
  checked.arrive_and_wait();
  elsewhere.join();
  Buffer large = device.buffer(own.stream(), 20 * kMiB);
  const void* const pending = large.data();
  StreamHold hold(other.stream());
  device.record_stream(large.data(), other.stream());
  large.reset();
  EXPECT_EQ(state_of(device, pending), MemoryState::pending);
  expect_exact(device);
  hold.open();
  device.synchronize();
  live.clear();
  device.trim();
  expect_exact(device);
}

TEST(MemorySegments, OfPinnedMemory) {
  Device device = create_test_device();
  {
    const Buffer held = device.pinned_buffer(3 * kMiB), small = device.pinned_buffer(100);
    expect_exact(device, MemoryKind::pinned);
    EXPECT_NE(find(device.memory_segments(MemoryKind::pinned), held.data()).block, nullptr);
  }
  expect_exact(device, MemoryKind::pinned);
  EXPECT_TRUE(device.memory_segments().empty());
}

TEST(MemorySegments, BesideThreadsThatAllocateAndFree) {
  const std::uint64_t seed = seed_of_run();
  Device device = create_test_device({.memory_limit = 512 * kMiB});
  constexpr int kThreads = 4, kListers = 2;
  const std::size_t rounds = scaled(3000, 10);
  std::atomic<int> running = kThreads;
  std::atomic<std::size_t> listings = 0;
  on_threads(kThreads + kListers, [&](int number) {
    if (number >= kThreads) {
      const Buffer mine = device.buffer(1000 + 3 * kMiB * static_cast<std::size_t>(number - kThreads));
      while (running != 0) {
        const std::vector<MemorySegment> segments = device.memory_segments();
        static_cast<void>(sums_of(segments));
        const Found found = find(segments, mine.data());
        ASSERT_NE(found.block, nullptr);
        ASSERT_EQ(found.block->state, MemoryState::live);
        ASSERT_GE(found.block->bytes, mine.size());
        ++listings;
      }
      return;
    }
    Random random(seed, static_cast<std::uint64_t>(number));
    std::vector<Buffer> held;
    // Longer where the listers have not begun yet: 3,000 rounds take less than starting two threads may.
    for (std::size_t round = 0; round < rounds || (listings <= 5 && !testing::Test::HasFailure()); ++round) {
      held.push_back(device.buffer(random.log_uniform(1, 3 * kMiB)));
      if (held.size() > 20) {
        std::swap(held[random.below(held.size())], held.back());
        held.pop_back();
      }
      if (round % 500 == 0) device.trim();
    }
    held.clear();
    --running;
  });
  EXPECT_GT(listings, 5U);
  expect_exact(device);
  device.check_accounting();
}

TEST(MemorySegments, AreFixedWhereThatIsAskedFor) {
  Device device = create_test_device({.segments = SegmentGrowth::fixed});
  const Stream stream = device.stream();
  const auto added_by = [&](std::size_t bytes) {
    const std::size_t before = device.memory().committed;
    device.allocate(stream, bytes);
    return (device.memory().committed - before) / kMiB;
  };
  EXPECT_EQ(added_by(kMiB), 2U);
  EXPECT_EQ(added_by(kMiB), 0U);
  EXPECT_EQ(added_by(100), 2U);
  EXPECT_EQ(added_by(4 * kMiB), 20U);
  EXPECT_EQ(added_by(4 * kMiB), 0U);
  EXPECT_EQ(added_by(20 * kMiB), 20U);
  EXPECT_EQ(added_by(21 * kMiB), 22U);
  EXPECT_EQ(device.memory_segments().size(), 5U);
  expect_exact(device);
}

TEST(MemorySegments, FixedOnesHaveBlocksOfSingleUnits) {
  Device device = create_test_device({.segments = SegmentGrowth::fixed});
  const Stream stream = device.stream();
  std::vector<void*> blocks;
  for (const std::size_t beyond : {1U, 512U, 513U, 5000U, 65'536U}) {
    blocks.push_back(device.allocate(stream, kMiB + beyond));
    EXPECT_EQ(device.size_of(blocks.back()), kMiB + (beyond + 511) / 512 * 512);
  }
  expect_exact(device);
  device.check_accounting();
  for (void* const block : blocks) device.deallocate(block);
  // What adjoins is one again.
  device.trim();
  EXPECT_EQ(device.memory().committed, 0U);
}

TEST(MemorySegments, OfWholeOnesOnlyWhatIsFreeAsAWholeGoesBack) {
  Device device = create_test_device({.segments = SegmentGrowth::whole});
  const Stream stream = device.stream();
  void* const kept = device.allocate(stream, 2 * kMiB);
  void* const beside = device.allocate(stream, 2 * kMiB);
  void* const large = device.allocate(stream, 64 * kMiB);
  EXPECT_EQ(device.memory_segments().size(), 2U);
  device.deallocate(beside);
  device.deallocate(large);
  EXPECT_EQ(device.trim(), 64 * kMiB);
  EXPECT_EQ(device.memory_segments().size(), 1U);
  device.deallocate(kept);
  device.trim();
  EXPECT_EQ(device.memory().committed, 0U);
  expect_exact(device);
}

}  // namespace
}  // namespace millrace::test
