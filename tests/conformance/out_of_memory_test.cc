// What happens when memory runs out: what must still succeed, what must fail and how, and no hangs.
#include <gtest/gtest.h>
#include <millrace/millrace.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "support/at_the_limit.h"
#include "support/random.h"
#include "support/scale.h"
#include "support/test_device.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kKiB = 1024, kMiB = 1024 * kKiB;
constexpr std::size_t kLimit = 64 * kMiB;
constexpr std::size_t kGranule = 2 * kMiB;
constexpr int kThreads = 8;

TEST(OutOfMemory, AtBarriersWhatFitsBesideLiveGranulesSucceedsAndWhatDoesNotFails) {
  if (!heaps_grow_in_place())
    GTEST_SKIP() << "the rule is about granules that nothing uses, and this device takes back whole heaps";
  const std::uint64_t seed = seed_of_run();
  Device device = create_test_device({.memory_limit = kLimit, .out_of_memory_wait = milliseconds(50)});
  const std::size_t rounds = scaled(120, 8);
  const AtTheLimitResult result = run_at_the_limit(
      device, seed,
      {.limit = kLimit, .threads = kThreads, .operations = scaled(400, 4), .go_on = [&](std::size_t done) {
         return done < rounds;
       }});
  EXPECT_EQ(result.rounds, rounds);
  EXPECT_GT(result.fitted, 0u);
  EXPECT_EQ(device.memory().live, 0u);
  device.check_accounting();
  Buffer all = device.buffer(kLimit);
  EXPECT_EQ(device.memory().committed, kLimit);
  EXPECT_LE(device.memory().peak_committed, kLimit);
}

TEST(OutOfMemory, EightThreadsAtOnceNeverHangAndNothingLeaks) {
  const std::uint64_t seed = seed_of_run();
  Device device = create_test_device({.memory_limit = kLimit, .out_of_memory_wait = milliseconds(5)});
  std::atomic<std::uint64_t> refused = 0;
  const std::size_t rounds = scaled(150, 10);
  on_threads(
      kThreads,
      [&](int number) {
        Random random(seed, static_cast<std::uint64_t>(number));
        for (std::size_t i = 0; i < rounds; ++i) {
          std::vector<Buffer> mine;
          try {
            for (;;)
              mine.push_back(device.buffer(random.one_in(4) ? random.log_uniform(1, 16 * kMiB) : 500 * kKiB));
          } catch (const OutOfMemoryError& error) {
            EXPECT_LE(error.report().committed, kLimit);
            ++refused;
          }
        }
      },
      seconds(300));
  EXPECT_EQ(refused, rounds * kThreads);
  EXPECT_EQ(device.memory().out_of_memory, refused);
  EXPECT_EQ(device.memory().live, 0u);
  device.check_accounting();
  device.trim();
  EXPECT_EQ(device.memory().committed, 0u);
}

TEST(OutOfMemory, TakesBackWhatIdleThreadsCache) {
  Device device = create_test_device({.memory_limit = kLimit});
  std::barrier cached(kThreads + 1);
  on_threads(kThreads + 1, [&](int number) {
    if (number < kThreads) {
      std::vector<Buffer> mine;
      for (int i = 0; i < 14; ++i) mine.push_back(device.buffer(512 * kKiB));
      mine.clear();
      cached.arrive_and_wait();
      cached.arrive_and_wait();
      return;
    }
    cached.arrive_and_wait();
    EXPECT_GT(device.memory().cached, 8 * kMiB);
    EXPECT_NO_THROW(device.buffer(kLimit));
    cached.arrive_and_wait();
  });
}

TEST(OutOfMemory, TakesBackWhatAThreadCachesThatWaitsForALease) {
  Device device = create_test_device({.memory_limit = kLimit,
                                      .streams = 2,
                                      .exhaustion = ExhaustionPolicy::wait,
                                      .exhaustion_timeout = seconds(60),
                                      .out_of_memory_wait = milliseconds(50)});
  std::barrier cached(2);
  on_threads(2, [&](int number) {
    if (number == 0) {
      StreamLease only = device.lease();
      cached.arrive_and_wait();
      cached.arrive_and_wait();
      std::this_thread::sleep_for(milliseconds(20));  // so that the other thread waits, most of the time
      EXPECT_NO_THROW(device.buffer(only.stream(), kLimit));
      return;
    }
    cached.arrive_and_wait();
    device.buffer(device.default_stream(), 512 * kKiB);
    EXPECT_GT(device.memory().cached, 0u);
    cached.arrive_and_wait();
    device.buffer(kKiB);
  });
}

TEST(OutOfMemory, TakesIdleMemoryOfOtherStreams) {
  const Watchdog watchdog("memory of other streams");
  Device device = create_test_device({.memory_limit = kLimit});
  for (int i = 0; i < 8; ++i) {
    StreamLease lease = device.lease();
    Buffer large = device.buffer(lease.stream(), 50 * kMiB);
    std::vector<Buffer> small;
    for (int k = 0; k < 20; ++k) small.push_back(device.buffer(lease.stream(), 300 * kKiB));
  }
  EXPECT_LE(device.memory().peak_committed, kLimit);
  device.check_accounting();
}

}  // namespace
}  // namespace millrace::test
