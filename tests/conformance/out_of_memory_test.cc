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

void expect_full_report(const OutOfMemoryError& error, std::size_t requested, const MemoryStats& stats) {
  const OutOfMemoryReport& report = error.report();
  EXPECT_EQ(error.code(), ErrorCode::OutOfMemory);
  EXPECT_EQ(report.requested, requested);
  EXPECT_EQ(report.limit, kLimit);
  EXPECT_EQ(report.live, stats.live);
  EXPECT_LE(report.committed, report.limit);
  EXPECT_LE(report.live + report.cached + report.pending, report.committed);
  EXPECT_LT(report.largest_free, requested);
  EXPECT_LE(report.holders.size(), 8u);
  EXPECT_EQ(report.holders.empty(), stats.live == 0);
  std::size_t held = 0;
  for (std::size_t i = 0; i < report.holders.size(); ++i) {
    held += report.holders[i].live_bytes;
    EXPECT_GE(report.holders[i].stream, 0);
    EXPECT_LE(report.holders[i].live_bytes, i == 0 ? stats.live : report.holders[i - 1].live_bytes);
  }
  EXPECT_LE(held, stats.live);
  for (const std::size_t figure : {requested, report.live, report.limit}) {
    EXPECT_NE(std::string(error.what()).find(std::to_string(figure)), std::string::npos)
        << figure << " is not in: " << error.what();
  }
}

/// Fails with the full report, and changes nothing.
void expect_out_of_memory(Device& device, std::size_t bytes) {
  const MemoryStats before = device.memory();
  try {
    device.deallocate(device.allocate(bytes));
    ADD_FAILURE() << bytes << " bytes were allocated with " << before.live << " of " << before.limit
                  << " live";
  } catch (const OutOfMemoryError& error) {
    expect_full_report(error, bytes, before);
  }
  EXPECT_EQ(device.memory().live, before.live);
  EXPECT_EQ(device.memory().out_of_memory, before.out_of_memory + 1);
}

struct HeldBlock {
  void* data;
  std::size_t bytes;
};

// Sizes that are not rounded, so that the test knows which granules a block is in.
std::size_t unrounded_size(Random& random) {
  return random.one_in(10) ? kMiB * (1 + random.below(4)) : std::size_t{512} << random.below(11);
}

TEST(OutOfMemory, AtBarriersWhatFitsBesideLiveGranulesSucceedsAndWhatDoesNotFails) {
  const std::uint64_t seed = seed_of_run();
  Device device = create_test_device({.memory_limit = kLimit, .out_of_memory_wait = milliseconds(50)});
  std::vector<std::vector<HeldBlock>> held(kThreads);
  std::barrier round(kThreads);
  const std::size_t rounds = scaled(120, 8);
  const std::size_t operations = scaled(400, 4);
  std::atomic<std::size_t> refused = 0;
  std::size_t fitted = 0;  // by thread 0

  const auto at_barrier = [&] {
    std::set<std::uintptr_t> granules;
    for (const auto& blocks : held) {
      for (const HeldBlock& block : blocks) {
        const auto first = reinterpret_cast<std::uintptr_t>(block.data) / kGranule;
        const auto last = (reinterpret_cast<std::uintptr_t>(block.data) + block.bytes - 1) / kGranule;
        for (std::uintptr_t granule = first; granule <= last; ++granule) granules.insert(granule);
      }
    }
    device.check_accounting();
    const std::size_t fits = kLimit - std::min(kLimit, granules.size() * kGranule);
    if (fits > 0) {
      for (const std::size_t bytes : {fits, fits / 2, fits / 7}) {
        try {
          device.deallocate(device.allocate(bytes));
          ++fitted;
        } catch (const OutOfMemoryError& error) {
          ADD_FAILURE() << bytes << " bytes must fit beside " << granules.size()
                        << " granules: " << error.what();
        }
      }
    }
    expect_out_of_memory(device, kLimit - device.memory().live + 1);
    expect_out_of_memory(device, kLimit + 1);
    device.check_accounting();
  };

  on_threads(
      kThreads,
      [&](int number) {
        Random random(seed, static_cast<std::uint64_t>(number));
        std::vector<HeldBlock>& mine = held[static_cast<std::size_t>(number)];
        for (std::size_t i = 0; i < rounds; ++i) {
          // Few blocks in some rounds, many in others; so few in the first that something surely fits beside.
          const std::size_t most = i == 0 ? 1 : 1 + random.below(60);
          for (std::size_t done = 0; done < operations; ++done) {
            if (mine.size() < most) {
              const std::size_t bytes = unrounded_size(random);
              try {
                mine.push_back({device.allocate(bytes), bytes});
                continue;
              } catch (const OutOfMemoryError&) {
                ++refused;
              }
            }
            if (mine.empty()) continue;
            std::swap(mine[random.below(mine.size())], mine.back());
            device.deallocate(mine.back().data);
            mine.pop_back();
          }
          while (mine.size() > most) {
            device.deallocate(mine.back().data);
            mine.pop_back();
          }
          round.arrive_and_wait();
          if (number == 0) at_barrier();
          round.arrive_and_wait();
        }
        for (const HeldBlock& block : mine) device.deallocate(block.data);
      },
      seconds(300));

  EXPECT_GT(fitted, 0u);
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
