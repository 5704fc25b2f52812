#include "support/at_the_limit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "support/random.h"
#include "support/threads.h"

namespace millrace::test {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;
constexpr std::size_t kGranule = 2 * kMiB;

struct HeldBlock {
  void* data;
  std::size_t bytes;
};

// Sizes that are not rounded, so that the test knows which granules a block is in.
std::size_t unrounded_size(Random& random) {
  return random.one_in(10) ? kMiB * (1 + random.below(4)) : std::size_t{512} << random.below(11);
}

/// The error has to speak of the device as it was: of what was asked, of what was there, of who holds it.
void expect_full_report(const OutOfMemoryError& error, std::size_t requested, const MemoryStats& stats) {
  const OutOfMemoryReport& report = error.report();
  EXPECT_EQ(error.code(), ErrorCode::OutOfMemory);
  EXPECT_EQ(report.requested, requested);
  EXPECT_EQ(report.limit, stats.limit);
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

std::size_t live_granules(const std::vector<std::vector<HeldBlock>>& held) {
  std::set<std::uintptr_t> granules;
  for (const auto& blocks : held) {
    for (const HeldBlock& block : blocks) {
      const auto first = reinterpret_cast<std::uintptr_t>(block.data) / kGranule;
      const auto last = (reinterpret_cast<std::uintptr_t>(block.data) + block.bytes - 1) / kGranule;
      for (std::uintptr_t granule = first; granule <= last; ++granule) granules.insert(granule);
    }
  }
  return granules.size();
}

/// With nobody else at work: how many allocations had to succeed.
std::size_t check_standing_still(Device& device, std::size_t limit, std::size_t granules) {
  std::size_t fitted = 0;
  device.check_accounting();
  const std::size_t fits = limit - std::min(limit, granules * kGranule);
  for (const std::size_t bytes : {fits, fits / 2, fits / 7}) {
    if (fits == 0) break;
    try {
      device.deallocate(device.allocate(bytes));
      ++fitted;
    } catch (const OutOfMemoryError& error) {
      ADD_FAILURE() << bytes << " bytes must fit beside " << granules << " granules: " << error.what();
    }
  }
  expect_out_of_memory(device, limit - device.memory().live + 1);
  expect_out_of_memory(device, limit + 1);
  device.check_accounting();
  return fitted;
}

}  // namespace

AtTheLimitResult run_at_the_limit(Device& device, std::uint64_t seed, const AtTheLimit& run) {
  std::vector<std::vector<HeldBlock>> held(static_cast<std::size_t>(run.threads));
  std::barrier standing_still(run.threads);
  std::atomic<std::size_t> refused = 0;
  AtTheLimitResult result;  // thread 0's, between the barriers
  bool go_on = true;        // the same
  const auto body = [&](int number) {
    Random random(seed, static_cast<std::uint64_t>(number));
    std::vector<HeldBlock>& mine = held[static_cast<std::size_t>(number)];
    const auto free_last = [&] {
      device.deallocate(mine.back().data);
      mine.pop_back();
    };
    for (std::size_t round = 0; go_on; ++round) {
      // Few blocks in some rounds, many in others; so few in the first that something surely fits beside.
      const std::size_t most = round == 0 ? 1 : 1 + random.below(60);
      for (std::size_t done = 0; done < run.operations; ++done) {
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
        free_last();
      }
      while (mine.size() > most) free_last();
      standing_still.arrive_and_wait();
      if (number == 0) {
        result.fitted += check_standing_still(device, run.limit, live_granules(held));
        go_on = run.go_on(++result.rounds);
      }
      standing_still.arrive_and_wait();
    }
    while (!mine.empty()) free_last();
  };
  on_threads(run.threads, body, std::chrono::seconds(300));
  result.refused = refused;
  return result;
}

}  // namespace millrace::test
