#include "backends/cuda/reduce/cut_splits.h"

#include <algorithm>

#include "backends/cuda/reduce/measures.h"

namespace millrace::cuda {
namespace {

constexpr std::int64_t kLaneBlocks = 396;
constexpr std::int64_t kHeavyBlocks = 264;
// Rounds of blocks in which splits may be done.
constexpr std::int64_t kMostRounds = 3;
// What a block of a split reads at least where a block does several, and waits for its own each time.
constexpr std::int64_t kRoundBytes = 128 << 10;

/// Blocks that a large device holds at a time, which is a matter of their registers.
std::int64_t resident_blocks(const ReducePlan& plan) noexcept {
  if (!has_lanes(plan)) return kHeavyBlocks;
  return plan.lanes > 1 ? kLaneBlocks : kResidentBlocks;
}

/// How much of the time all of `resident` blocks have a unit, where they take them in turns.
double busy_share(std::int64_t units, std::int64_t resident) noexcept {
  return static_cast<double>(units) / static_cast<double>(ceil_div(units, resident) * resident);
}

}  // namespace

int even_width(std::int64_t columns, std::int64_t outer) noexcept {
  constexpr std::int64_t kMultiprocessors = kWholeBlocks, kWarp = 32, kNarrowest = 5 * kWarp;
  std::int64_t best = kThreads;
  double best_share = 0;
  for (std::int64_t width = kThreads; width >= kNarrowest; width -= kWarp) {
    const std::int64_t tiles = ceil_div(columns, width) * outer;
    const std::int64_t blocks = ceil_div(tiles, ceil_div(tiles, kLaneBlocks));
    const double share =
        busy_share(blocks, kMultiprocessors) * busy_share(tiles, blocks) * busy_share(columns, width);
    if (share < best_share + 0.05) continue;
    best = width;
    best_share = share;
  }
  return static_cast<int>(best);
}

void split(ReducePlan& plan, std::int64_t tile_bytes, std::int64_t multiple) noexcept {
  const std::int64_t resident = resident_blocks(plan);
  plan.splits = 1;
  plan.split_size = plan.steps;
  if (plan.tiles <= resident && plan.steps != 0) {
    const auto splits_of = [&](std::int64_t rounds, std::int64_t least_bytes) {
      const std::int64_t most = std::min(plan.steps, tile_bytes / least_bytes);
      return std::max<std::int64_t>(std::min(rounds * resident / plan.tiles, most), 1);
    };
    std::int64_t splits = splits_of(1, kSplitBytes);
    // Where that leaves many blocks out, several rounds leave fewer; but those wait at the end of each, and
    // most where there is much to merge.
    for (std::int64_t rounds = 2; rounds <= kMostRounds && plan.lanes == 1; ++rounds) {
      if (busy_share(plan.tiles * splits, resident) >= 0.75) break;
      splits = std::max(splits, splits_of(rounds, kRoundBytes));
    }
    plan.split_size = ceil_div(ceil_div(plan.steps, splits), multiple) * multiple;
    plan.splits = ceil_div(plan.steps, plan.split_size);
  }
  const std::int64_t units = plan.tiles * plan.splits;
  plan.blocks = ceil_div(units, ceil_div(units, resident));
}

}  // namespace millrace::cuda
