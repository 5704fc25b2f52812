#include "backends/cuda/reduce/cut_ways.h"

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "backends/cuda/reduce/measures.h"

namespace millrace::cuda {
namespace {

// Tiles that are enough before they are split.
constexpr std::int64_t kEnoughTiles = 132;

/// Of the outputs that a tile has beside those along its columns.
std::int64_t next_kept_stride(const ReducePlan& plan) noexcept {
  const int next = plan.by_columns ? 1 : 0;
  return next < plan.kept_rank && plan.kept[next].stride != 0 ? plan.kept[next].stride
                                                              : std::numeric_limits<std::int64_t>::max();
}

/// Threads where there are too few outputs for all: as many ways as leave few of the block idle, which may be
/// shared by several outputs.
void take_ways(ReducePlan& plan, std::int64_t load_bytes) noexcept {
  constexpr std::int64_t kMostParts = 16;
  const std::int64_t room = kThreads / plan.inner;
  const std::int64_t next_stride = next_kept_stride(plan);
  const bool outputs_are_close = next_stride < kSectorBytes / element_bytes(plan);
  double best = -1;
  std::int64_t best_part = 1, best_ways = 1, ways = 1, near_ways = 1;
  int best_covered = 0;
  bool is_far = false;
  for (int covered = 0; covered < plan.reduced_rank && ways <= room; ++covered) {
    const std::int64_t size = plan.reduced[covered].size;
    const std::int64_t fewest = ceil_div(size, std::min(size, room / ways));
    for (std::int64_t parts = fewest; parts < fewest + kMostParts && parts <= size; ++parts) {
      const std::int64_t part = ceil_div(size, parts);
      // Whole lines of memory, neighbours rather than what is far apart, and as few outputs as there must be:
      // less is to be merged.
      const std::int64_t outer = std::min(plan.outer_count, room / (ways * part));
      const bool is_short = ways * part * outer * plan.inner * load_bytes < kLineBytes;
      const bool leaps = is_far || (part > 1 && std::abs(plan.reduced[covered].stride) >= next_stride);
      // Worst where what is leapt to is less than memory brings, and the rest is other outputs'.
      const double leap = near_ways * load_bytes < kSectorBytes && outputs_are_close ? 0.6 : 0.3;
      const double share = static_cast<double>(ways * part * outer * plan.inner) / kThreads *
                               static_cast<double>(size) / static_cast<double>(ceil_div(size, part) * part) -
                           0.004 * static_cast<double>(outer) - (is_short ? 0.3 : 0) - (leaps ? leap : 0);
      if (share < best + 0.03) continue;
      best = share;
      best_part = part;
      best_ways = ways;
      best_covered = covered;
    }
    ways *= size;
    is_far = is_far || std::abs(plan.reduced[covered].stride) >= next_stride;
    if (!is_far) near_ways = ways;
  }
  plan.covered = best_covered;
  plan.ways = static_cast<int>(best_ways);
  take_part(plan, best_part);
}

}  // namespace

int width_of(std::int64_t columns, std::int64_t most, std::int64_t least) noexcept {
  const std::int64_t fewest = ceil_div(columns, most);
  std::int64_t best = 0;
  double best_share = 0;
  for (std::int64_t tiles = fewest; tiles < fewest + 16; ++tiles) {
    const std::int64_t width = ceil_div(columns, tiles);
    if (best != 0 && width < least) break;
    const double share = static_cast<double>(kThreads / width * width) / kThreads *
                         static_cast<double>(columns) / static_cast<double>(tiles * width);
    if (share < best_share + 0.05) continue;
    best = width;
    best_share = share;
  }
  return static_cast<int>(best);
}

void take_part(ReducePlan& plan, std::int64_t part) noexcept {
  plan.part = plan.last_part = 1;
  plan.parts = plan.steps = plan.whole_steps = 1;
  if (plan.covered == plan.reduced_rank) return;
  const Loop& loop = plan.reduced[plan.covered];
  plan.parts = ceil_div(loop.size, part);
  plan.part = static_cast<int>(part);
  plan.last_part = static_cast<int>(loop.size - (plan.parts - 1) * part);
  plan.ways *= plan.part;
  std::int64_t further = 1;
  for (int i = plan.covered + 1; i < plan.reduced_rank; ++i) further *= plan.reduced[i].size;
  plan.steps = plan.parts * further;
  plan.whole_steps = plan.last_part == plan.part ? plan.steps : (plan.parts - 1) * further;
}

void cut_ways(ReducePlan& plan, std::int64_t load_bytes) noexcept {
  const std::int64_t room = kThreads / plan.inner;
  const std::int64_t next_stride = next_kept_stride(plan);
  // Enough for whole lines, where there are outputs enough.
  const bool many = plan.outer_count * plan.inner_tiles * plan.inner >= kEnoughThreads;
  if (!many && !plan.by_columns) return take_ways(plan, load_bytes);
  const std::int64_t enough = many ? std::min(room, ceil_div(kLineBytes, plan.inner * load_bytes)) : room;

  std::int64_t ways = 1;
  plan.covered = 0;
  const auto is_next = [&] {
    return plan.covered < plan.reduced_rank && std::abs(plan.reduced[plan.covered].stride) < next_stride;
  };
  while (is_next() && ways * plan.reduced[plan.covered].size <= enough) {
    ways *= plan.reduced[plan.covered++].size;
  }
  std::int64_t part = is_next() ? enough / ways : 1;
  if (part == 1 && !many) {
    // A tile of few outputs leaves little to merge where it is split.
    const std::int64_t few = std::max(ceil_div(kLineBytes, plan.inner * ways * load_bytes),
                                      plan.outer_count * plan.inner_tiles / kEnoughTiles);
    const std::int64_t outer = std::min({plan.outer_count, room / ways, few});
    while (plan.covered < plan.reduced_rank && plan.reduced[plan.covered].size * ways * outer <= room) {
      ways *= plan.reduced[plan.covered++].size;
    }
    part = room / (ways * outer);
  }
  plan.ways = static_cast<int>(ways);
  if (plan.covered < plan.reduced_rank) {
    // Parts of about the same size.
    const std::int64_t size = plan.reduced[plan.covered].size;
    part = ceil_div(size, ceil_div(size, std::min(part, size)));
  }
  take_part(plan, part);
}

}  // namespace millrace::cuda
