#include "backends/cuda/reduce/cut.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <limits>

namespace millrace::cuda {
namespace {

// Blocks that a large device holds at a time. Memory is kept busy by fewer; more would leave some of them a
// turn of their own at the end.
constexpr std::int64_t kResidentBlocks = 528;
constexpr std::int64_t kLaneBlocks = 396;
constexpr std::int64_t kHeavyBlocks = 264;
// Tiles that are enough before they are split.
constexpr std::int64_t kEnoughTiles = 132;
constexpr std::int64_t kEnoughThreads = kResidentBlocks * kThreads;
// Threads of which a large device holds several rounds.
constexpr std::int64_t kManyThreads = 2 * kEnoughThreads;
constexpr std::int64_t kRowBlocks = 8448;
// Rounds of blocks in which splits may be done.
constexpr std::int64_t kMostRounds = 3;
// Threads that are enough not to share an output of few elements, and how many are few. Threads that have
// many outputs at once are worth more.
constexpr std::int64_t kFewThreads = 2 * kEnoughThreads;
constexpr std::int64_t kFewWideThreads = kFewThreads / 3;
constexpr std::int64_t kFewSteps = 64;
constexpr std::int64_t kFewNarrowSteps = 128;
constexpr std::int64_t kFewBlocks = 396;
// Neighbours of which each has its own elements should be so close together.
constexpr std::int64_t kFewBytes = 32;
// What a block and a thread of the regime whole have at least.
constexpr std::int64_t kWholeBlockVectors = 1024;
constexpr std::int64_t kWholeThreadVectors = 4;
// What a block of a split reads at least, so that leaving and merging accumulators costs little beside it.
constexpr std::int64_t kSplitBytes = 16 << 10;
// The same where a block does several, and waits for its own each time.
constexpr std::int64_t kRoundBytes = 128 << 10;
// Loads of a thread that should be on their way at once.
constexpr std::int64_t kLoads = 8;
// Vectors of a row that a thread has at least, where there are as many.
constexpr std::int64_t kRowLoads = 4;
// Neighbouring threads that read neighbouring elements should fill a line of memory together.
constexpr std::int64_t kLineBytes = 128;
// Shorter runs are not worth the vectors that they are in.
constexpr std::int64_t kShortestRunBytes = 32;
constexpr std::int64_t kWidestColumns = kThreads;
constexpr int kWarp = 32;

std::int64_t ceil_div(std::int64_t a, std::int64_t b) noexcept {
  return a / b + (a % b != 0 ? 1 : 0);
}

/// The largest power of two that is not more; n is positive.
std::int64_t power_below(std::int64_t n) noexcept {
  return static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(n)));
}

/// The smallest that is not less.
std::int64_t power_above(std::int64_t n) noexcept {
  return static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(n)));
}

std::int64_t element_bytes(const ReducePlan& plan) noexcept {
  return static_cast<std::int64_t>(size_of(plan.dtype));
}

std::int64_t vector_elements(const ReducePlan& plan) noexcept {
  return kVectorBytes / element_bytes(plan);
}

/// Vectors that n elements may touch, wherever they begin.
std::int64_t vectors_of_run(const ReducePlan& plan, std::int64_t n, bool aligned) noexcept {
  const std::int64_t elements = vector_elements(plan);
  return aligned ? n / elements : (n + elements - 2) / elements + 1;
}

/// Are there kernels for all regimes?
bool is_tuned(const ReducePlan& plan) noexcept {
  if (!has_tuned_kernels(plan.dtype)) return false;
  if (plan.statistics) return true;
  switch (plan.op) {
    case ReduceOp::any:
    case ReduceOp::all:
    case ReduceOp::count_zero:
    case ReduceOp::count_nan:
    case ReduceOp::count_inf: return false;
    default: return true;
  }
}

bool is_position(const ReducePlan& plan) noexcept {
  return !plan.statistics && (plan.op == ReduceOp::argmin || plan.op == ReduceOp::argmax);
}

/// Folds with kHasLanes.
bool has_lanes(const ReducePlan& plan) noexcept {
  return !plan.statistics && plan.op != ReduceOp::var && plan.op != ReduceOp::std;
}

/// Are all strides but those of the loop that vectors of so many elements go along, and the address,
/// multiples of such a vector?
bool is_aligned(const ReducePlan& plan, const Loop& along, std::int64_t elements) noexcept {
  if (along.stride != 1 || along.size % elements != 0) return false;
  const auto address = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(plan.input));
  if (address % (elements * element_bytes(plan)) != 0) return false;
  const auto fits = [&](const Loop& loop) { return &loop == &along || loop.stride % elements == 0; };
  return std::all_of(plan.kept, plan.kept + plan.kept_rank, fits) &&
         std::all_of(plan.reduced, plan.reduced + plan.reduced_rank, fits);
}

/// Blocks that a large device holds at a time, which is a matter of their registers.
std::int64_t resident_blocks(const ReducePlan& plan) noexcept {
  if (!has_lanes(plan)) return kHeavyBlocks;
  return plan.lanes > 1 ? kLaneBlocks : kResidentBlocks;
}

/// How much of the time all of `resident` blocks have a unit, where they take them in turns.
double busy_share(std::int64_t units, std::int64_t resident) noexcept {
  return static_cast<double>(units) / static_cast<double>(ceil_div(units, resident) * resident);
}

/// Splits tiles where there are too few.
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
      splits = splits_of(rounds, kRoundBytes);
    }
    plan.split_size = ceil_div(ceil_div(plan.steps, splits), multiple) * multiple;
    plan.splits = ceil_div(plan.steps, plan.split_size);
  }
  const std::int64_t units = plan.tiles * plan.splits;
  plan.blocks = ceil_div(units, ceil_div(units, resident));
}

void cut_dense(ReducePlan& plan) noexcept {
  plan.regime = Regime::dense;
  const std::int64_t n = plan.reduced_count, bytes = element_bytes(plan);
  const std::int64_t vectors = ceil_div(n * bytes, kVectorBytes);
  // A warp does not wait for others; where there are few rows a block has one, so that all have something.
  std::int64_t ways =
      std::min<std::int64_t>(power_below(std::max<std::int64_t>(vectors / kRowLoads, 1)), kWarp);
  while (ways < kThreads && vectors / ways > kLoads && plan.kept_count < kManyThreads / ways) ways *= 2;
  plan.ways = static_cast<int>(ways);
  plan.ways_are_neighbours = true;
  plan.outer_count = plan.kept_count;
  plan.outer = static_cast<int>(std::min<std::int64_t>(kThreads / ways, plan.outer_count));
  plan.tiles = ceil_div(plan.kept_count, plan.outer);
  plan.steps = n;
  // Whole lines, so that where the first begins aligned all do.
  split(plan, n * bytes * plan.outer, kLineBytes);
  if (plan.splits == 1 && has_lanes(plan)) plan.blocks = std::min(plan.tiles, 2 * kResidentBlocks);
}

/// Is there one output?
bool cut_whole(ReducePlan& plan) noexcept {
  if (!is_tuned(plan) || !has_lanes(plan) || plan.kept_count != 1) return false;
  plan.regime = Regime::whole;
  const std::int64_t vectors = ceil_div(plan.reduced_count * element_bytes(plan), kVectorBytes);
  const std::int64_t blocks = std::min<std::int64_t>(kWholeBlocks, ceil_div(vectors, kWholeBlockVectors));
  // Whole lines, so that where the first begins aligned all do.
  const std::int64_t lines = ceil_div(ceil_div(vectors, blocks), kLineBytes / kVectorBytes);
  plan.steps = plan.reduced_count;
  plan.split_size = lines * kLineBytes / element_bytes(plan);
  plan.splits = plan.blocks = ceil_div(plan.steps, plan.split_size);
  plan.tiles = plan.outer_count = 1;
  const std::int64_t threads = lines * (kLineBytes / kVectorBytes) / kWholeThreadVectors;
  plan.threads = static_cast<int>(std::clamp<std::int64_t>(power_above(threads), kWarp, kWholeThreads));
  return true;
}

/// Are the outputs rows of a few vectors?
bool cut_rows(ReducePlan& plan) noexcept {
  if (!is_tuned(plan)) return false;
  plan.is_aligned = is_aligned(plan, plan.reduced[0], vector_elements(plan));
  const std::int64_t vectors = vectors_of_run(plan, plan.reduced_count, plan.is_aligned);
  if (vectors > kWarp * kRowLoads) return false;
  plan.regime = Regime::rows;
  // Not of folds whose accumulators are large: two would not fit the registers.
  const bool is_light = has_lanes(plan) && !is_position(plan);
  plan.rows_at_once = is_light && vectors <= kRowLoads / 2 ? 2 : 1;
  plan.ways = static_cast<int>(power_above(ceil_div(vectors, kRowLoads / plan.rows_at_once)));
  plan.tiles = ceil_div(plan.kept_count, kWarp / plan.ways * plan.rows_at_once);
  plan.splits = 1;
  plan.blocks = std::min<std::int64_t>(ceil_div(plan.tiles, kThreads / kWarp), kRowBlocks);
  return true;
}

/// Threads along `columns` neighbouring outputs, at most `most`: as many as leave few of the block idle.
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

/// Lets the ways go through `part` iterations of the first loop that they do not cover.
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
  double best = -1;
  std::int64_t best_part = 1, best_ways = 1, ways = 1;
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
      const double share = static_cast<double>(ways * part * outer * plan.inner) / kThreads *
                               static_cast<double>(size) / static_cast<double>(ceil_div(size, part) * part) -
                           0.004 * static_cast<double>(outer) - (is_short ? 0.3 : 0) - (leaps ? 0.3 : 0);
      if (share < best + 0.03) continue;
      best = share;
      best_part = part;
      best_ways = ways;
      best_covered = covered;
    }
    ways *= size;
    is_far = is_far || std::abs(plan.reduced[covered].stride) >= next_stride;
  }
  plan.covered = best_covered;
  plan.ways = static_cast<int>(best_ways);
  take_part(plan, best_part);
}

/// How the ways of an output go through its loops: through the first ones where memory has them next, then
/// through more of them where there are threads to spare.
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

/// Makes the loops count what a thread loads.
void take_loads(ReducePlan& plan) noexcept {
  const std::int64_t elements = vector_elements(plan);
  if (plan.regime == Regime::vectors) {
    Loop& loop = plan.reduced[0];
    plan.run = static_cast<int>(loop.size);
    loop = {vectors_of_run(plan, loop.size, is_aligned(plan, loop, elements)), elements,
            loop.other * elements, 0, 0};
  }
  if (plan.regime == Regime::lanes || plan.regime == Regime::columns) {
    Loop& loop = plan.kept[0];
    const std::int64_t vectors = ceil_div(loop.size, elements);
    plan.lanes = static_cast<int>(elements);
    plan.last_lanes = static_cast<int>(loop.size - (vectors - 1) * elements);
    plan.lane_output = loop.other;
    loop = {vectors, elements, loop.other * elements, 0, 0};
  }
}

/// Are there many outputs of few elements?
bool cut_few(ReducePlan& plan) noexcept {
  if (!is_tuned(plan) || !has_lanes(plan) || plan.kept_rank == 0 || plan.reduced_count == 0) return false;
  Loop& along = plan.kept[0];
  const std::int64_t bytes = element_bytes(plan);
  int lanes = 1;
  if (is_aligned(plan, along, static_cast<int>(vector_elements(plan)))) {
    lanes = static_cast<int>(vector_elements(plan));
  } else if (bytes == 2 && is_aligned(plan, along, 2)) {
    lanes = 2;
  }
  const std::int64_t threads = plan.kept_count / lanes;
  const bool is_wide = lanes == 8;
  if (threads < (is_wide ? kFewWideThreads : kFewThreads) || threads >= std::int64_t{1} << 30) return false;
  if (plan.reduced_count > (is_wide ? kMostFew : lanes == 4 ? kFewSteps : kFewNarrowSteps)) return false;
  if (along.stride == 0 || std::abs(along.stride) * bytes > kFewBytes) return false;
  plan.regime = Regime::few;
  plan.lanes = plan.last_lanes = lanes;
  plan.lane_output = along.other;
  along = {along.size / lanes, along.stride * lanes, along.other * lanes, 0, 0};
  plan.outer_count = threads;
  // One after the other.
  take_part(plan, 1);
  const int outputs = lanes == 1 ? 4 : lanes == 2 ? 2 : 1;  // of a thread
  plan.tiles = ceil_div(threads, kThreads * outputs);
  plan.splits = 1;
  plan.blocks = ceil_div(plan.tiles, ceil_div(plan.tiles, kFewBlocks));
  return true;
}

/// vectors, lanes, columns, elements
void cut_walk(ReducePlan& plan, Regime regime) noexcept {
  plan.regime = regime;
  take_loads(plan);
  const std::int64_t load_bytes = regime == Regime::elements ? element_bytes(plan) : kVectorBytes;
  const std::int64_t step = plan.reduced_rank == 0 ? 0 : std::abs(plan.reduced[0].stride);
  const std::int64_t kept_step = plan.kept_rank == 0 ? 0 : plan.kept[0].stride;
  plan.by_columns = regime == Regime::lanes || regime == Regime::columns ||
                    (regime == Regime::elements && kept_step != 0 && (step == 0 || kept_step < step));
  const std::int64_t columns = plan.by_columns ? plan.kept[0].size : 1;
  plan.outer_count = 1;
  for (int i = plan.by_columns ? 1 : 0; i < plan.kept_rank; ++i) plan.outer_count *= plan.kept[i].size;
  if (plan.by_columns) {
    const std::int64_t line = std::max<std::int64_t>(kLineBytes / load_bytes, kWarp);
    std::int64_t most = kWidestColumns;
    while (most > line && plan.outer_count * columns / most < kResidentBlocks) most /= 2;
    plan.inner = regime == Regime::columns
                     ? static_cast<int>(std::min(most, ceil_div(columns, kWarp - 1) * kWarp))
                     : width_of(columns, most, line);
  }
  plan.inner_tiles =
      ceil_div(columns, regime == Regime::columns ? plan.inner / kWarp * (kWarp - 1) : plan.inner);
  if (plan.reduced_count == 0) {
    plan.parts = plan.part = plan.last_part = 1;
  } else {
    cut_ways(plan, load_bytes);
  }
  plan.ways_are_neighbours = plan.lanes == 1 && plan.inner == 1 && power_below(plan.ways) == plan.ways;
  plan.outer =
      static_cast<int>(std::min<std::int64_t>(kThreads / (plan.inner * plan.ways), plan.outer_count));
  plan.tiles = plan.inner_tiles * ceil_div(plan.outer_count, plan.outer);
  split(plan, plan.steps * plan.inner * plan.ways * plan.outer * load_bytes, 1);
}

/// For what is not dense.
Regime regime_of_loads(const ReducePlan& plan) noexcept {
  if (!is_tuned(plan) || plan.reduced_count == 0) return Regime::elements;
  const Loop& reduced = plan.reduced[0];
  if (plan.reduced_rank > 0 && reduced.stride == 1 && reduced.size < std::numeric_limits<int>::max() / 2 &&
      reduced.size * element_bytes(plan) >= kShortestRunBytes)
    return Regime::vectors;
  const Loop& kept = plan.kept[0];
  if (plan.kept_rank == 0 || kept.stride != 1 || !has_lanes(plan)) return Regime::elements;
  if (is_aligned(plan, kept, vector_elements(plan))) return Regime::lanes;
  // Two thirds of a warp at least.
  const bool is_wide = kept.size >= 20 * vector_elements(plan);
  return is_wide && !is_position(plan) ? Regime::columns : Regime::elements;
}

}  // namespace

void cut(ReducePlan& plan) noexcept {
  plan.inner = plan.ways = plan.outer = 1;
  plan.lanes = plan.last_lanes = 1;
  plan.inner_tiles = 1;
  plan.threads = kThreads;
  plan.is_dense = plan.reduced_rank == 1 && plan.reduced[0].stride == 1;
  // Rows shorter than a vector are better read by threads than by vectors.
  if (plan.is_dense && plan.reduced_count * element_bytes(plan) >= kVectorBytes) {
    if (!cut_whole(plan) && !cut_rows(plan)) cut_dense(plan);
    return;
  }
  const Regime loads = regime_of_loads(plan);
  if (loads != Regime::vectors && cut_few(plan)) return;
  if (plan.is_dense) {
    if (!cut_whole(plan) && !cut_rows(plan)) cut_dense(plan);
    return;
  }
  cut_walk(plan, loads);
}

}  // namespace millrace::cuda
