// bench alloc, mode random: RMM's random_allocations benchmark.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bench/alloc_field.h"
#include "open_device.h"
#include "random_steps.h"

namespace millrace::tool {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::uint64_t kMostLive = 16'000 * kMiB;
/// What allocators get that are given memory at their start: what is live at once fits.
constexpr std::uint64_t kInitialBytes = 24'576 * kMiB;
constexpr std::chrono::seconds kLongest{3};
constexpr std::size_t kStepsPerLook = 256;  // at the clock

/// An allocation of so many bytes, or, of none, a free.
struct Step {
  std::uint64_t bytes = 0;
  std::size_t victim = 0;
};

std::vector<Step> draw_steps(const AllocCase& c, std::uint64_t memory_cap) {
  Random random(1);
  std::vector<Step> steps;
  steps.reserve(2 * c.count);
  random_steps(
      {c.count, c.largest, memory_cap}, random,
      [&](std::uint64_t bytes) {
        steps.push_back({bytes, 0});
      },
      [&](std::size_t victim) {
        steps.push_back({0, victim});
      });
  return steps;
}

/// ms for all steps. Throws CaseFailure after kLongest, what the allocator throws if it can't go on.
template <typename Blocks>
double run(const Blocks& blocks, const std::vector<Step>& steps) {
  struct Block {
    void* address;
    std::size_t bytes;
  };
  std::vector<Block> live;
  live.reserve(steps.size());
  const auto start = Clock::now();
  try {
    for (std::size_t i = 0; i < steps.size(); ++i) {
      if (i % kStepsPerLook == 0 && Clock::now() - start > kLongest) {
        throw CaseFailure(fmt::format("not done within {} s", kLongest.count()));
      }
      if (const std::uint64_t bytes = steps[i].bytes; bytes != 0) {
        live.push_back({blocks.allocate(bytes), bytes});
      } else {
        Block& block = live[steps[i].victim];
        blocks.release(block.address, block.bytes);
        block = live.back();
        live.pop_back();
      }
    }
  } catch (...) {
    for (const Block& block : live) blocks.release(block.address, block.bytes);
    throw;
  }
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

template <typename Blocks>
double measure(const Blocks& blocks, const std::vector<Step>& steps) {
  run(blocks, steps);  // from here on it has the memory
  return run(blocks, steps);
}

std::vector<AllocCase> all_cases() {
  std::vector<AllocCase> cases;
  for (const std::uint64_t count : {10'000, 1'000, 100'000}) {
    for (const std::uint64_t mebibytes : {1, 4, 64, 256, 1024, 4096}) {
      cases.push_back({fmt::format("random {}/{}", count, mebibytes), 1, mebibytes * kMiB, count, false});
    }
  }
  return cases;
}

}  // namespace

AllocMeasurement random_measurement(AllocField& field) {
  const std::uint64_t memory_cap = std::min<std::uint64_t>(kMostLive, field.device.memory().limit / 4 * 3);
  AllocMeasurement all{all_cases(), {}};
  all.contestants.push_back({"millrace", [&field, memory_cap](const AllocCase& c, int) {
                               Device fresh = create_device(field.device_name, field.options);
                               return measure(OwnStreamBlocks{fresh}, draw_steps(c, memory_cap));
                             }});
  add_host_peers(all, field, [memory_cap](const AllocCase& c, int, const auto& blocks) {
    return measure(blocks, draw_steps(c, memory_cap));
  });
  for (const millrace_peer* const peer : field.fresh_peers) {
    all.contestants.push_back(
        {peer->name, [&field, peer, memory_cap](const AllocCase& c, int) {
           PeerAllocator fresh(*peer, field.number, kInitialBytes);
           fresh.open_streams(1);
           try {
             const double value = measure(PeerBlocks{fresh, fresh.stream(0)}, draw_steps(c, memory_cap));
             fresh.check();
             return value;
           } catch (const PeerFailure& failure) {
             throw CaseFailure(failure.what());
           }
         }});
  }
  return all;
}

}  // namespace millrace::tool
