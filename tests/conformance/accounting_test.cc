// What Device::memory says: never negative, never lost, moved by what the design says moves it.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <fstream>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "support/expect_error.h"
#include "support/random.h"
#include "support/scale.h"
#include "support/test_device.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

constexpr std::size_t kKiB = 1024, kMiB = 1024 * kKiB;
constexpr std::size_t kLimit = 512 * kMiB;

TEST(Accounting, HeapsMoveCommittedAndBlocksMoveLive) {
  const Watchdog watchdog("accounting of one block");
  Device device = create_test_device({.memory_limit = kLimit});
  const MemoryStats before = device.memory();
  EXPECT_EQ(before.live, 0u);
  EXPECT_EQ(before.committed, 0u);
  EXPECT_EQ(before.limit, kLimit);
  EXPECT_EQ(before.heaps_created, 0u);

  void* block = device.allocate(100 * kMiB);
  const MemoryStats held = device.memory();
  EXPECT_EQ(held.live, 100 * kMiB);
  EXPECT_GE(held.committed, held.live);
  EXPECT_EQ(held.heaps_created, 1u);
  EXPECT_EQ(held.heaps_released, 0u);
  EXPECT_EQ(held.allocations, 1u);
  EXPECT_EQ(held.frees, 0u);
  EXPECT_EQ(held.allocated_bytes, 100 * kMiB);

  device.deallocate(block);
  const MemoryStats freed = device.memory();
  EXPECT_EQ(freed.live, 0u);
  EXPECT_EQ(freed.committed, held.committed);  // kept for the next one
  EXPECT_EQ(freed.frees, 1u);
  EXPECT_EQ(freed.freed_bytes, 100 * kMiB);
  EXPECT_EQ(freed.heaps_released, 0u);

  EXPECT_EQ(device.trim(), held.committed);
  const MemoryStats trimmed = device.memory();
  EXPECT_EQ(trimmed.committed, 0u);
  EXPECT_EQ(trimmed.heaps_released, 1u);
  EXPECT_EQ(trimmed.peak_live, 100 * kMiB);
  EXPECT_EQ(trimmed.peak_committed, held.committed);
  device.check_accounting();
}

TEST(Accounting, HoldsWithBlocksInEachPlace) {
  const Watchdog watchdog("accounting of each place");
  Device device = create_test_device({.memory_limit = kLimit});
  StreamLease own = device.lease(), other = device.lease();
  std::vector<Buffer> live;
  for (int i = 0; i < 30; ++i) live.push_back(device.buffer(own.stream(), 40 * kKiB));
  device.check_accounting();
  // By this thread, which allocated them.
  for (int i = 0; i < 10; ++i) live.pop_back();
  EXPECT_GT(device.memory().cached, 0u);
  device.check_accounting();
  // By a thread of other arenas that lives on, with what it has not handed over yet.
  std::barrier checked(2);
  std::thread elsewhere([&] {
    for (int i = 0; i < 7; ++i) live.pop_back();
    checked.arrive_and_wait();
    checked.arrive_and_wait();
  });
  checked.arrive_and_wait();
  device.check_accounting();
  checked.arrive_and_wait();
  elsewhere.join();
  device.check_accounting();
  Buffer large = device.buffer(own.stream(), 20 * kMiB);
  device.record_stream(large.data(), other.stream());
  large.reset();
  device.check_accounting();
  live.clear();
  device.check_accounting();
  EXPECT_EQ(device.memory().live, 0u);
}

TEST(Accounting, TotalsAreNeverNegativeUnderAReader) {
  const std::uint64_t seed = seed_of_run();
  Device device = create_test_device({.memory_limit = kLimit});
  constexpr int kThreads = 8;
  const std::size_t rounds = scaled(200, 10);
  std::atomic<int> running = kThreads;
  std::atomic<std::uint64_t> allocations = 0;
  std::vector<std::vector<Buffer>> handed(kThreads);
  std::size_t reads = 0;
  on_threads(kThreads + 1, [&](int number) {
    if (number == kThreads) {
      MemoryStats last;
      while (running != 0) {
        const MemoryStats now = device.memory();
        // Each is a size_t: below zero is beyond the limit.
        ASSERT_LE(now.freed_bytes, now.allocated_bytes);
        ASSERT_LE(now.frees, now.allocations);
        ASSERT_LE(now.live, kLimit * 2);
        ASSERT_LE(now.cached, kLimit * 2);
        ASSERT_LE(now.pending, kLimit * 2);
        ASSERT_LE(now.committed, now.limit);
        // Nothing is lost when threads end.
        ASSERT_GE(now.allocations, last.allocations);
        ASSERT_GE(now.frees, last.frees);
        ASSERT_GE(now.allocated_bytes, last.allocated_bytes);
        ASSERT_GE(now.freed_bytes, last.freed_bytes);
        last = now;
        ++reads;
      }
      return;
    }
    Random random(seed, static_cast<std::uint64_t>(number));
    for (std::size_t round = 0; round < rounds; ++round) {
      // A thread of its own each round, which frees what the last one allocated.
      std::vector<Buffer>& mine = handed[static_cast<std::size_t>(number)];
      std::thread([&] {
        for (int i = 0; i < 200; ++i) {
          mine.push_back(device.buffer(random.log_uniform(1, 128 * kKiB)));
          ++allocations;
          if (mine.size() > 20) {
            std::swap(mine[random.below(mine.size())], mine.back());
            mine.pop_back();
          }
        }
      }).join();
    }
    handed[static_cast<std::size_t>(number)].clear();
    --running;
  });
  EXPECT_GT(reads, 10u);
  const MemoryStats end = device.memory();
  EXPECT_EQ(end.live, 0u);
  EXPECT_EQ(end.allocations, allocations);
  EXPECT_EQ(end.frees, allocations);
  device.check_accounting();
}

TEST(Accounting, PeaksAreExactWhenSerialised) {
  const Watchdog watchdog("peaks");
  Device device = create_test_device({.memory_limit = kLimit});
  device.buffer(3 * kMiB).reset();
  EXPECT_EQ(device.memory().peak_live, 3 * kMiB);
  std::size_t most = 0;
  Random random(seed_of_run());
  std::vector<Buffer> held;
  for (int i = 0; i < 20'000; ++i) {
    if (held.size() < 20 + random.below(20)) {
      held.push_back(device.buffer(random.log_uniform(1, kMiB)));
    } else {
      std::swap(held[random.below(held.size())], held.back());
      held.pop_back();
    }
    most = std::max(most, device.memory().live);
  }
  EXPECT_EQ(device.memory().peak_live, most);
  EXPECT_EQ(device.memory().peak_error, 0u);
  held.clear();
  device.reset_peaks();
  EXPECT_EQ(device.memory().peak_live, 0u);
  EXPECT_EQ(device.memory().peak_committed, device.memory().committed);
  Buffer one = device.buffer(kMiB);
  EXPECT_EQ(device.memory().peak_live, kMiB);
}

void check_concurrent_peak(bool exact) {
  constexpr int kThreads = 8;
  constexpr std::size_t kEach = 10 * kMiB;
  Device device = create_test_device({.memory_limit = kLimit, .exact_peaks = exact});
  std::barrier all(kThreads);
  MemoryStats at_most;
  on_threads(kThreads, [&](int number) {
    for (int round = 0; round < 20; ++round) {
      std::vector<Buffer> held;
      for (std::size_t bytes = 0; bytes < kEach; bytes += 256 * kKiB)
        held.push_back(device.buffer(256 * kKiB));
      all.arrive_and_wait();
      if (number == 0) at_most = device.memory();
      all.arrive_and_wait();
    }
  });
  const std::size_t true_peak = kThreads * kEach;
  EXPECT_LE(at_most.peak_live, true_peak);
  EXPECT_GE(at_most.peak_live + at_most.peak_error, true_peak);
  if (exact) {
    EXPECT_EQ(at_most.peak_live, true_peak);
    EXPECT_EQ(at_most.peak_error, 0u);
  }
}

TEST(Accounting, PeaksAreWithinTheStatedBound) {
  check_concurrent_peak(false);
}
TEST(Accounting, PeaksAreExactOnRequest) {
  check_concurrent_peak(true);
}

TEST(Accounting, TheLimitCanBeMoved) {
  const Watchdog watchdog("moving the limit");
  Device device = create_test_device({.memory_limit = kLimit});
  Buffer live = device.buffer(60 * kMiB);
  device.buffer(200 * kMiB).reset();
  EXPECT_GE(device.memory().committed, 200 * kMiB);
  expect_code(ErrorCode::OutOfMemory, [&] { device.set_memory_limit(59 * kMiB); });
  EXPECT_EQ(device.memory().limit, kLimit);
  device.set_memory_limit(64 * kMiB);  // trims
  EXPECT_EQ(device.memory().limit, 64 * kMiB);
  EXPECT_LE(device.memory().committed, 64 * kMiB);
  expect_code(ErrorCode::OutOfMemory, [&] { device.allocate(8 * kMiB); });
  device.set_memory_limit(128 * kMiB);
  Buffer more = device.buffer(64 * kMiB);
  device.check_accounting();
}

std::size_t status_number(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word == field) {
      std::size_t number = 0;
      status >> number;
      return number;
    }
  }
  return 0;
}

TEST(Accounting, TenThousandShortLivedThreadsLeaveNothingBehind) {
  const std::size_t count = scaled(10'000, 5, 1);
  constexpr std::size_t kAtOnce = 8;
  const Watchdog watchdog("short-lived threads", std::chrono::seconds(300));
  Device device = create_test_device({.memory_limit = kLimit});
  const std::size_t threads_before = status_number("Threads:");
  std::size_t early_kib = 0;
  std::vector<Buffer> handed(kAtOnce);
  for (std::size_t i = 0; i < count; i += kAtOnce) {
    std::vector<std::thread> threads;
    for (std::size_t lane = 0; lane < kAtOnce; ++lane) {
      threads.emplace_back([&, lane, i] {
        Buffer mine = device.buffer(1 + (i * 37 + lane * 1001) % (96 * kKiB));
        Stream stream = device.stream();
        stream.fill(mine.data(), 7, mine.size());
        Buffer large = lane == 0 ? device.buffer(2 * kMiB) : Buffer();
        stream.wait();
        handed[lane] = std::move(mine);  // frees what the lane's thread before this one left
      });
    }
    for (std::thread& thread : threads) thread.join();
    if (early_kib == 0 && i >= count / 4) early_kib = status_number("VmRSS:");
  }
  handed.clear();
  EXPECT_EQ(device.memory().live, 0u);
  EXPECT_EQ(device.memory().allocations, device.memory().frees);
  EXPECT_EQ(device.memory().pending, 0u);
  EXPECT_EQ(device.streams().leased, 0);
  device.check_accounting();
  device.trim();
  EXPECT_EQ(device.memory().cached, 0u);
  EXPECT_EQ(device.memory().committed, 0u);
  EXPECT_EQ(status_number("Threads:"), threads_before);
  if (!kSanitized) {
    EXPECT_LE(status_number("VmRSS:"), early_kib + 4 * kKiB);  // in KiB
  }
}

}  // namespace
}  // namespace millrace::test
