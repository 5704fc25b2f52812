// Private pools: whose memory is where, when it goes back, and what happens when there is none.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <thread>
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

std::size_t bytes_of(const std::vector<MemorySegment>& segments) {
  std::size_t bytes = 0;
  for (const MemorySegment& segment : segments) bytes += segment.bytes;
  return bytes;
}

/// The number of the pool whose segment has the address, 0 of none's, -1 where it is nowhere.
std::int64_t pool_at(const Device& device, const void* address) {
  for (const MemorySegment& segment : device.memory_segments()) {
    const auto* const base = static_cast<const std::byte*>(segment.address);
    if (address >= base && address < base + segment.bytes) return static_cast<std::int64_t>(segment.pool);
  }
  return -1;
}

TEST(MemoryPools, MemoryIsItsPools) {
  Device device = create_test_device();
  const Stream stream = device.stream();
  const MemoryPool one = MemoryPool::create(device), two = MemoryPool::create(device);
  EXPECT_NE(one.number(), two.number());
  EXPECT_FALSE(one == two);
  for (const std::size_t bytes : {std::size_t{100}, 3 * kMiB}) {
    void* const of_one = one.allocate(stream, bytes);
    void* const of_two = two.allocate(stream, bytes);
    void* const of_none = device.allocate(stream, bytes);
    EXPECT_EQ(pool_at(device, of_one), static_cast<std::int64_t>(one.number()));
    EXPECT_EQ(pool_at(device, of_two), static_cast<std::int64_t>(two.number()));
    EXPECT_EQ(pool_at(device, of_none), 0);
    // What is free in it is nobody else's, and its own stream's at once.
    device.deallocate(of_one);
    EXPECT_NE(two.allocate(stream, bytes), of_one);
    EXPECT_NE(device.allocate(stream, bytes), of_one);
    EXPECT_EQ(one.allocate(stream, bytes), of_one);
    static_cast<void>(of_two);
  }
  device.check_accounting();
  EXPECT_EQ(
      bytes_of(one.segments()) + bytes_of(two.segments()) +
          [&] {
            std::size_t bytes = 0;
            for (const MemorySegment& segment : device.memory_segments())
              bytes += segment.pool == 0 ? segment.bytes : 0;
            return bytes;
          }(),
      device.memory().committed);
}

TEST(MemoryPools, StreamsOfAPoolAreApart) {
  Device device = create_test_device();
  StreamLease one = device.lease(), two = device.lease();
  const MemoryPool pool = MemoryPool::create(device);
  void* const first = pool.allocate(one.stream(), 1000);
  device.deallocate(first);
  EXPECT_NE(pool.allocate(two.stream(), 1000), first);
  std::set<int> streams;
  for (const MemorySegment& segment : pool.segments()) streams.insert(segment.stream);
  EXPECT_EQ(streams, (std::set<int>{one.stream().id(), two.stream().id()}));
}

TEST(MemoryPools, GoesBackWhenItHasNoUsers) {
  Device device = create_test_device();
  const MemoryPool pool = MemoryPool::create(device);
  pool.add_user();
  EXPECT_EQ(pool.users(), 2U);
  device.deallocate(pool.allocate(device.stream(), 5 * kMiB));
  const std::size_t had = device.memory().committed;
  EXPECT_GE(had, 5 * kMiB);
  // Recorded work may name what is free.
  EXPECT_EQ(pool.trim(), 0U);
  EXPECT_EQ(device.trim(), 0U);
  EXPECT_EQ(pool.drop_user(), 1U);
  EXPECT_EQ(device.memory().committed, had);
  EXPECT_EQ(pool.drop_user(), 0U);
  EXPECT_EQ(device.memory().committed, 0U);
  EXPECT_EQ(pool.users(), 0U);
  EXPECT_TRUE(pool.segments().empty());
  EXPECT_EQ(pool.trim(), 0U);
  expect_error(ErrorCode::InvalidArgument, "the pool is gone", [&] { pool.add_user(); });
  expect_error(ErrorCode::InvalidArgument, "the pool is gone",
               [&] { static_cast<void>(pool.allocate(device.stream(), 1)); });
}

TEST(MemoryPools, KeepsWhatSomebodyHas) {
  Device device = create_test_device();
  const MemoryPool pool = MemoryPool::create(device);
  void* const kept = pool.allocate(device.stream(), 100);
  device.deallocate(pool.allocate(device.stream(), 5 * kMiB));
  pool.drop_user();
  const std::size_t left = bytes_of(pool.segments());
  EXPECT_GT(left, 0U);
  EXPECT_LT(left, 5 * kMiB);
  expect_rule("pool-without-users", [&] { static_cast<void>(pool.allocate(device.stream(), 1)); });
  expect_rule("pool-without-users", [&] { pool.add_user(); });
  expect_rule("pool-without-users", [&] { static_cast<void>(pool.drop_user()); });
  device.deallocate(kept);
  EXPECT_EQ(pool.trim(), left);
  EXPECT_EQ(device.memory().committed, 0U);
}

TEST(MemoryPools, WorkRecordedBeforeTheLastUserWentIsWaitedFor) {
  if (!on_host_backend()) GTEST_SKIP() << "host tasks hold a stream of the host backend";
  const Watchdog watchdog("a pool's work");
  Device device = create_test_device();
  StreamLease launches = device.lease();
  const MemoryPool pool = MemoryPool::create(device);
  device.deallocate(pool.allocate(device.stream(), 5 * kMiB));
  StreamHold hold(launches.stream());
  pool.drop_user();
  EXPECT_EQ(device.trim(), 0U);
  EXPECT_GE(bytes_of(pool.segments()), 5 * kMiB);
  hold.open();
  device.synchronize();
  EXPECT_GE(device.trim(), 5 * kMiB);
  EXPECT_TRUE(pool.segments().empty());
}

TEST(MemoryPools, TheNextPoolIsAnother) {
  Device device = create_test_device();
  const MemoryPool first = MemoryPool::create(device);
  first.drop_user();
  const MemoryPool second = MemoryPool::create(device);
  EXPECT_NE(first.number(), second.number());
  EXPECT_EQ(first.users(), 0U);
  EXPECT_EQ(second.users(), 1U);
  expect_error(ErrorCode::InvalidArgument, "the pool is gone", [&] { first.set_use_on_oom(true); });
  EXPECT_EQ(pool_at(device, second.allocate(device.stream(), 100)),
            static_cast<std::int64_t>(second.number()));
}

TEST(MemoryPools, LooksAtAllOfItsPendingBlocksBeforeItGrows) {
  if (!on_host_backend()) GTEST_SKIP() << "host tasks hold a stream of the host backend";
  const Watchdog watchdog("a pool's pending blocks");
  Device device = create_test_device();
  StreamLease held = device.lease(), done = device.lease();
  const MemoryPool pool = MemoryPool::create(device);
  void* const first = pool.allocate(device.stream(), 3 * kMiB);
  void* const second = pool.allocate(device.stream(), 3 * kMiB);
  StreamHold hold(held.stream());
  device.record_stream(first, held.stream());
  StreamHold other(done.stream());
  device.record_stream(second, done.stream());
  device.deallocate(first);
  device.deallocate(second);
  other.open();
  done.stream().wait();
  // The first that was freed is still used, and the second is not.
  EXPECT_EQ(pool.allocate(device.stream(), 3 * kMiB), second);
  hold.open();
  device.synchronize();
  EXPECT_EQ(pool.allocate(device.stream(), 3 * kMiB), first);
}

TEST(MemoryPools, BlocksThatAreSegments) {
  Device device = create_test_device();
  const MemoryPool pool = MemoryPool::create(device, {.no_split = true});
  void* const small = pool.allocate(device.stream(), 100);
  void* const large = pool.allocate(device.stream(), 5 * kMiB);
  std::vector<MemorySegment> segments = pool.segments();
  ASSERT_EQ(segments.size(), 2U);
  for (const MemorySegment& segment : segments) {
    ASSERT_EQ(segment.blocks.size(), 1U);
    EXPECT_EQ(segment.blocks.front().bytes, segment.bytes);
  }
  device.deallocate(large);
  // As a whole.
  EXPECT_EQ(pool.allocate(device.stream(), 3 * kMiB), large);
  EXPECT_EQ(pool.segments().size(), 2U);
  device.deallocate(small);
  device.deallocate(large);
  expect_error(ErrorCode::InvalidArgument, "where blocks are segments",
               [&] { static_cast<void>(pool.allocate(device.stream(), 1, std::size_t{1} << 30)); });
  pool.drop_user();
  EXPECT_EQ(device.memory().committed, 0U);
}

TEST(MemoryPools, OthersTakeFromItWhenThereIsNothingElse) {
  Device device =
      create_test_device({.memory_limit = 16 * kMiB, .out_of_memory_wait = std::chrono::milliseconds(0)});
  const Stream stream = device.stream();
  const MemoryPool pool = MemoryPool::create(device);
  void* const block = pool.allocate(stream, 12 * kMiB);
  device.deallocate(block);
  EXPECT_THROW(static_cast<void>(device.allocate(stream, 12 * kMiB)), OutOfMemoryError);
  pool.set_use_on_oom(true);
  void* const lent = device.allocate(stream, 12 * kMiB);
  EXPECT_EQ(lent, block);
  EXPECT_EQ(pool_at(device, lent), static_cast<std::int64_t>(pool.number()));
  device.deallocate(lent);
  EXPECT_EQ(pool.allocate(stream, 12 * kMiB), block);
  expect_rule("pool-lends", [&] { static_cast<void>(pool.checkpoint()); });
  device.check_accounting();
}

TEST(MemoryPools, AnotherStreamTakesFromIt) {
  Device device = create_test_device({.memory_limit = 16 * kMiB});
  StreamLease other = device.lease();
  const MemoryPool pool = MemoryPool::create(device, {.use_on_oom = true});
  void* const block = pool.allocate(device.stream(), 12 * kMiB);
  device.deallocate(block);
  device.synchronize();
  void* const lent = device.allocate(other.stream(), 12 * kMiB);
  EXPECT_EQ(lent, block);
  device.deallocate(lent);
  device.synchronize();
  EXPECT_EQ(pool.allocate(device.stream(), 12 * kMiB), block);
  device.check_accounting();
}

TEST(MemoryPools, APoolTakesFromNobody) {
  Device device =
      create_test_device({.memory_limit = 16 * kMiB, .out_of_memory_wait = std::chrono::milliseconds(0)});
  const Stream stream = device.stream();
  const MemoryPool one = MemoryPool::create(device, {.use_on_oom = true}), two = MemoryPool::create(device);
  device.deallocate(one.allocate(stream, 12 * kMiB));
  EXPECT_THROW(static_cast<void>(two.allocate(stream, 12 * kMiB)), OutOfMemoryError);
  one.drop_user();
  EXPECT_NE(two.allocate(stream, 12 * kMiB), nullptr);
}

TEST(MemoryPools, MisuseHasANameAndAClosedDeviceSaysSo) {
  Device device = create_test_device(), another = Device::create(test_device_name(1));
  expect_error(ErrorCode::Closed, "empty", [&] { MemoryPool().add_user(); });
  const MemoryPool pool = MemoryPool::create(device);
  expect_error(ErrorCode::InvalidArgument, "another device",
               [&] { static_cast<void>(pool.allocate(another.stream(), 1)); });
  expect_error(ErrorCode::InvalidArgument, "alignment",
               [&] { static_cast<void>(pool.allocate(device.stream(), 1, 3)); });
  const Stream stream = device.stream();
  void* const block = pool.allocate(stream, 1);
  device.close();
  expect_error(ErrorCode::Closed, "closed", [&] { static_cast<void>(pool.allocate(stream, 1)); });
  expect_error(ErrorCode::Closed, "closed", [&] { static_cast<void>(pool.drop_user()); });
  device.deallocate(block);
}

TEST(MemoryPools, ThreadsWithPoolsOfTheirOwnAndAShared) {
  const std::uint64_t seed = seed_of_run();
  const Watchdog watchdog("threads and pools");
  Device device = create_test_device({.memory_limit = 512 * kMiB});
  const MemoryPool shared = MemoryPool::create(device);
  const std::size_t rounds = scaled(2000, 10);
  on_threads(4, [&](int number) {
    Random random(seed, static_cast<std::uint64_t>(number));
    for (std::size_t round = 0; round < rounds / 100; ++round) {
      const MemoryPool own = MemoryPool::create(device);
      shared.add_user();
      std::vector<std::pair<void*, std::int64_t>> held;
      for (int i = 0; i < 100; ++i) {
        const MemoryPool& pool = random.below(2) == 0 ? own : shared;
        held.emplace_back(pool.allocate(device.stream(), random.log_uniform(1, 3 * kMiB)),
                          static_cast<std::int64_t>(pool.number()));
        if (held.size() > 10) {
          device.deallocate(held.front().first);
          held.erase(held.begin());
        }
      }
      for (const auto& [address, pool] : held) ASSERT_EQ(pool_at(device, address), pool);
      for (const auto& [address, pool] : held) device.deallocate(address);
      own.drop_user();
      shared.drop_user();
    }
  });
  shared.drop_user();
  device.synchronize();
  device.trim();
  device.check_accounting();
  EXPECT_EQ(device.memory().live, 0U);
  EXPECT_EQ(device.memory().committed, 0U);
}

}  // namespace
}  // namespace millrace::test
