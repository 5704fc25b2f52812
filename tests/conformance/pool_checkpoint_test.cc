// Checkpoints of pools: what restoring one brings back, and what it refuses.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <map>
#include <string>
#include <vector>

#include "support/expect_error.h"
#include "support/held_stream.h"
#include "support/random.h"
#include "support/scale.h"
#include "support/test_device.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

constexpr std::size_t kKiB = 1024, kMiB = 1024 * kKiB;

/// The pool's allocations: where, how large, of which stream.
std::map<const void*, std::pair<std::size_t, int>> live_in(const std::vector<MemorySegment>& segments) {
  std::map<const void*, std::pair<std::size_t, int>> live;
  for (const MemorySegment& segment : segments) {
    for (const MemoryBlock& block : segment.blocks) {
      if (block.state == MemoryState::live) live[block.address] = {block.bytes, segment.stream};
    }
  }
  return live;
}

TEST(PoolCheckpoints, BringBackWhatWasFreedAndFreeWhatCame) {
  Device device = create_test_device();
  const Stream stream = device.stream();
  const MemoryPool pool = MemoryPool::create(device);
  void* const kept = pool.allocate(stream, 1000);
  void* const freed = pool.allocate(stream, 2000);
  void* const large = pool.allocate(stream, 3 * kMiB);
  const PoolCheckpoint checkpoint = pool.checkpoint();
  EXPECT_EQ(checkpoint.pool, pool.number());
  device.deallocate(freed);
  device.deallocate(large);
  // Splits the space that these had.
  void* const came = pool.allocate(stream, 512);
  void* const part = pool.allocate(stream, 2 * kMiB);
  EXPECT_EQ(part, large);
  const std::size_t live = device.memory().live;
  const PoolRestored restored = pool.restore(checkpoint);
  EXPECT_EQ(live_in(pool.segments()), live_in(checkpoint.segments));
  std::vector<void*> gone = restored.freed;
  std::ranges::sort(gone);
  std::vector<void*> expected{came, part};
  std::ranges::sort(expected);
  EXPECT_EQ(gone, expected);
  std::vector<void*> back;
  for (const auto& allocated : restored.allocated) {
    back.push_back(allocated.address);
    EXPECT_EQ(allocated.stream, stream.id());
    EXPECT_GE(allocated.bytes, 2000U);
  }
  std::ranges::sort(back);
  expected = {freed, large};
  std::ranges::sort(expected);
  EXPECT_EQ(back, expected);
  EXPECT_NE(device.memory().live, live);
  device.check_accounting();
  for (void* block : {kept, freed, large}) device.deallocate(block);
  if (came != freed)
    expect_error(ErrorCode::InvalidArgument, "not the start", [&] { device.deallocate(came); });
  pool.drop_user();
  EXPECT_EQ(device.memory().live, 0U);
  EXPECT_EQ(device.memory().committed, 0U);
}

TEST(PoolCheckpoints, OfSegmentsAsBlocks) {
  Device device = create_test_device();
  const MemoryPool pool = MemoryPool::create(device, {.no_split = true});
  void* const one = pool.allocate(device.stream(), 100);
  const PoolCheckpoint checkpoint = pool.checkpoint();
  void* const two = pool.allocate(device.stream(), 100);
  device.deallocate(one);
  const PoolRestored restored = pool.restore(checkpoint);
  EXPECT_EQ(restored.freed, std::vector<void*>{two});
  ASSERT_EQ(restored.allocated.size(), 1U);
  EXPECT_EQ(restored.allocated.front().address, one);
  device.check_accounting();
}

TEST(PoolCheckpoints, NothingChangesWhereAUseStandsAgainstIt) {
  if (!on_host_backend()) GTEST_SKIP() << "host tasks hold a stream of the host backend";
  const Watchdog watchdog("checkpoints and uses");
  Device device = create_test_device();
  StreamLease own = device.lease(), other = device.lease();
  const MemoryPool pool = MemoryPool::create(device);
  void* const first = pool.allocate(own.stream(), 1000);
  const PoolCheckpoint with_first = pool.checkpoint();
  device.deallocate(first);
  const PoolCheckpoint empty = pool.checkpoint();
  for (const bool until_free : {false, true}) {
    void* const used = pool.allocate(own.stream(), 1000);
    ASSERT_EQ(used, first);
    StreamHold hold(other.stream());
    if (until_free) {
      device.record_stream(used, other.stream());
    } else {
      device.record_use(used, other.stream());
    }
    // It would be freed while it is used.
    expect_rule("pool-in-use", [&] { static_cast<void>(pool.restore(empty)); });
    EXPECT_EQ(live_in(pool.segments()), live_in(with_first.segments));
    // It would be allocated again before its uses have ended.
    device.deallocate(used);
    expect_rule("pool-in-use", [&] { static_cast<void>(pool.restore(with_first)); });
    EXPECT_TRUE(live_in(pool.segments()).empty());
    hold.open();
    device.synchronize();
    EXPECT_EQ(pool.restore(with_first).allocated.size(), 1U);
    EXPECT_EQ(pool.restore(empty).freed, std::vector<void*>{first});
  }
  device.check_accounting();
}

TEST(PoolCheckpoints, OneStreamsRefusalKeepsTheOtherAsItIs) {
  if (!on_host_backend()) GTEST_SKIP() << "host tasks hold a stream of the host backend";
  const Watchdog watchdog("checkpoints of two streams");
  Device device = create_test_device();
  StreamLease one = device.lease(), two = device.lease(), other = device.lease();
  const MemoryPool pool = MemoryPool::create(device);
  const PoolCheckpoint empty = pool.checkpoint();
  void* const of_one = pool.allocate(one.stream(), 1000);
  void* const of_two = pool.allocate(two.stream(), 1000);
  StreamHold hold(other.stream());
  device.record_use(of_two, other.stream());
  const auto before = live_in(pool.segments());
  expect_rule("pool-in-use", [&] { static_cast<void>(pool.restore(empty)); });
  EXPECT_EQ(live_in(pool.segments()), before);
  device.deallocate(of_one);
  hold.open();
  device.synchronize();
  EXPECT_EQ(pool.restore(empty).freed, std::vector<void*>{of_two});
}

TEST(PoolCheckpoints, WhatIsNoCheckpointOfThePoolIsRefused) {
  Device device = create_test_device();
  const MemoryPool pool = MemoryPool::create(device), another = MemoryPool::create(device);
  void* const block = pool.allocate(device.stream(), 5 * kMiB);
  const PoolCheckpoint checkpoint = pool.checkpoint();
  expect_error(ErrorCode::InvalidArgument, "restore each pool to its own",
               [&] { static_cast<void>(another.restore(checkpoint)); });
  PoolCheckpoint wrong = checkpoint;
  wrong.segments.front().blocks.front().bytes += 64 * kMiB;
  expect_error(ErrorCode::InvalidArgument, "no longer has", [&] { static_cast<void>(pool.restore(wrong)); });
  wrong = checkpoint;
  wrong.segments.front().blocks.front().bytes += 1;
  expect_error(ErrorCode::InvalidArgument, "could have had", [&] { static_cast<void>(pool.restore(wrong)); });
  wrong = checkpoint;
  wrong.segments.push_back(wrong.segments.front());
  expect_error(ErrorCode::InvalidArgument, "overlap", [&] { static_cast<void>(pool.restore(wrong)); });
  wrong.segments.back().stream = device.stream().id() + 1;
  expect_error(ErrorCode::InvalidArgument, "never had", [&] { static_cast<void>(pool.restore(wrong)); });
  wrong.segments.back().stream = 1 << 20;
  expect_error(ErrorCode::InvalidArgument, "could have had", [&] { static_cast<void>(pool.restore(wrong)); });
  EXPECT_TRUE(pool.restore(checkpoint).freed.empty());
  device.deallocate(block);
  pool.drop_user();
  expect_error(ErrorCode::InvalidArgument, "the pool is gone",
               [&] { static_cast<void>(pool.restore(checkpoint)); });
}

// Random programs: whatever was done since a checkpoint, restoring it brings back its live blocks, and what
// it says of the change is the difference.
TEST(PoolCheckpoints, AreWhatTheyWereAfterAnything) {
  const std::uint64_t seed = seed_of_run();
  Random random(seed, 0);
  Device device = create_test_device({.memory_limit = 256 * kMiB});
  StreamLease leases[] = {device.lease(), device.lease()};
  const MemoryPool pool = MemoryPool::create(device);
  std::vector<void*> live;
  std::vector<PoolCheckpoint> checkpoints;
  for (std::size_t step = 0; step < scaled(20000, 10); ++step) {
    const std::size_t what = random.below(100);
    if (what == 0) {
      checkpoints.push_back(pool.checkpoint());
    } else if (what == 1 && !checkpoints.empty()) {
      const PoolCheckpoint& target = checkpoints[random.below(checkpoints.size())];
      auto before = live_in(pool.segments());
      const PoolRestored restored = pool.restore(target);
      for (void* address : restored.freed) ASSERT_EQ(before.erase(address), 1U);
      for (const auto& allocated : restored.allocated)
        ASSERT_TRUE(before.emplace(allocated.address, std::pair(allocated.bytes, allocated.stream)).second);
      const auto now = live_in(pool.segments());
      ASSERT_EQ(now, before);
      ASSERT_EQ(now, live_in(target.segments));
      device.check_accounting();
      live.clear();
      for (const auto& [address, block] : now) live.push_back(const_cast<void*>(address));
    } else if (live.size() < 40 && random.below(2) == 0) {
      live.push_back(pool.allocate(leases[random.below(2)].stream(), random.log_uniform(1, 4 * kMiB)));
    } else if (!live.empty()) {
      std::swap(live[random.below(live.size())], live.back());
      device.deallocate(live.back());
      live.pop_back();
    }
  }
  for (void* block : live) device.deallocate(block);
  pool.drop_user();
  device.trim();
  EXPECT_EQ(device.memory().committed, 0U);
}

// Twenty times the blocks take some twenty times as long, and not four hundred times: of the processor's
// time, the least of a few tries.
TEST(PoolCheckpoints, TakeTimeInProportionToTheBlocks) {
  Device device = create_test_device();
  const auto seconds_for = [&](std::size_t blocks) {
    double least = 1e9;
    for (int i = 0; i < 3; ++i) {
      const MemoryPool pool = MemoryPool::create(device);
      std::vector<void*> live;
      for (std::size_t block = 0; block < blocks; ++block)
        live.push_back(pool.allocate(device.stream(), 512));
      const PoolCheckpoint checkpoint = pool.checkpoint();
      for (std::size_t block = 0; block < blocks; block += 2) device.deallocate(live[block]);
      const std::clock_t begun = std::clock();
      EXPECT_EQ(pool.restore(checkpoint).allocated.size(), (blocks + 1) / 2);
      least = std::min(least, static_cast<double>(std::clock() - begun) / CLOCKS_PER_SEC);
      for (void* block : live) device.deallocate(block);
      pool.drop_user();
    }
    return least;
  };
  const std::size_t few = scaled(2000, 2);
  const double once = seconds_for(few), often = seconds_for(20 * few);
  RecordProperty("milliseconds_of_few_and_of_many",
                 std::to_string(once * 1e3) + ' ' + std::to_string(often * 1e3));
  EXPECT_LT(often, 100 * once + 0.01);
}

}  // namespace
}  // namespace millrace::test
