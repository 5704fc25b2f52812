#include "backends/cuda/reduce/cut.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <limits>

#include "backends/cuda/reduce/cut_order.h"
#include "backends/cuda/reduce/cut_splits.h"
#include "backends/cuda/reduce/cut_ways.h"
#include "backends/cuda/reduce/measures.h"
#include "backends/cuda/reduce/variants.h"

namespace millrace::cuda {
namespace {

// Threads of which a large device holds several rounds.
constexpr std::int64_t kManyThreads = 2 * kEnoughThreads;
constexpr std::int64_t kRowBlocks = 8448;
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
// The same of those of more vectors than that, where they are to be spread wider.
constexpr std::int64_t kSpreadVectors = 4096;
constexpr std::int64_t kSpreadBlockVectors = kHasFineWholes ? kWholeBlockVectors / 2 : kWholeBlockVectors;
constexpr std::int64_t kSpreadThreadVectors = kHasWideWholes ? kWholeThreadVectors / 2 : kWholeThreadVectors;
// Loads of a thread that should be on their way at once.
constexpr std::int64_t kLoads = 8;
// Vectors of a row that a thread has at least, where there are as many.
constexpr std::int64_t kRowLoads = 4;
// Shorter runs are not worth the vectors that they are in.
constexpr std::int64_t kShortestRunBytes = 32;
constexpr std::int64_t kWidestColumns = kThreads;
constexpr int kWarp = 32;

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
  // Of many rows twice as many blocks are a little faster.
  if (plan.tiles > 3 * kResidentBlocks && has_lanes(plan)) {
    plan.blocks = ceil_div(plan.tiles, ceil_div(plan.tiles, 2 * kResidentBlocks));
  }
}

/// Is there one output?
bool cut_whole(ReducePlan& plan) noexcept {
  if (!is_tuned(plan) || !has_lanes(plan) || plan.kept_count != 1) return false;
  plan.regime = Regime::whole;
  const std::int64_t vectors = ceil_div(plan.reduced_count * element_bytes(plan), kVectorBytes);
  const bool spreads = vectors > kSpreadVectors, is_thin = kHasThinWholes && vectors <= kWholeThreads;
  const std::int64_t blocks = std::min<std::int64_t>(
      kWholeBlocks, ceil_div(vectors, spreads ? kSpreadBlockVectors : kWholeBlockVectors));
  // Whole lines, so that where the first begins aligned all do.
  const std::int64_t lines = ceil_div(ceil_div(vectors, blocks), kLineBytes / kVectorBytes);
  plan.steps = plan.reduced_count;
  plan.split_size = lines * kLineBytes / element_bytes(plan);
  plan.splits = plan.blocks = ceil_div(plan.steps, plan.split_size);
  plan.tiles = plan.outer_count = 1;
  const std::int64_t each = is_thin ? 1 : spreads ? kSpreadThreadVectors : kWholeThreadVectors;
  const std::int64_t threads = lines * (kLineBytes / kVectorBytes) / each;
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
  order_outputs(plan, vectors, kVectorBytes);
  plan.splits = 1;
  plan.blocks = std::min<std::int64_t>(ceil_div(plan.tiles, kThreads / kWarp), kRowBlocks);
  return true;
}

/// Makes the loops count what a thread loads.
void take_loads(ReducePlan& plan) noexcept {
  const std::int64_t elements = vector_elements(plan);
  if (plan.regime == Regime::vectors) {
    Loop& loop = plan.reduced[0];
    plan.run = static_cast<int>(loop.size);
    plan.is_aligned = is_aligned(plan, loop, elements);
    loop = {vectors_of_run(plan, loop.size, plan.is_aligned), elements,
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
  if (lanes == 1) order_outputs(plan, plan.reduced_count, bytes);
  // One after the other.
  take_part(plan, 1);
  const int outputs = lanes == 1 ? 4 : lanes == 2 ? 2 : 1;  // of a thread
  plan.tiles = ceil_div(threads, kThreads * outputs);
  plan.splits = 1;
  plan.blocks = ceil_div(plan.tiles, ceil_div(plan.tiles, kFewBlocks));
  return true;
}

/// Does what the threads of a tile read in a step follow each other in memory, in their order, in each tile
/// and each step?
bool is_streamed(const ReducePlan& plan) noexcept {
  const bool is_lanes = plan.regime == Regime::lanes, is_runs = plan.regime == Regime::vectors && plan.is_aligned;
  if (!(is_lanes || is_runs) || is_position(plan)) return false;
  if (plan.inner * plan.ways * plan.outer != kThreads || plan.whole_steps != plan.steps) return false;
  if (plan.by_columns && (plan.kept[0].size % plan.inner != 0 || plan.last_lanes != plan.lanes)) return false;
  const int first = plan.by_columns ? 1 : 0;
  if (plan.outer > 1 && (plan.kept_rank == first || plan.kept[first].size % plan.outer != 0)) return false;
  const std::int64_t elements = vector_elements(plan);
  for (int thread = 0; thread < kThreads; ++thread) {
    const int outer = thread / plan.inner / plan.ways;
    std::int64_t at = plan.by_columns ? thread % plan.inner * plan.kept[0].stride : 0;
    if (outer > 0) at += outer * plan.kept[first].stride;
    std::int64_t way = thread / plan.inner % plan.ways;
    for (int i = 0; i < plan.covered; ++i) {
      at += way % plan.reduced[i].size * plan.reduced[i].stride;
      way /= plan.reduced[i].size;
    }
    if (plan.covered < plan.reduced_rank) at += way * plan.reduced[plan.covered].stride;
    if (at != thread * elements) return false;
  }
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
    const bool is_many = plan.outer_count * columns >= kEnoughThreads;
    if (kHasEvenLanes && regime == Regime::lanes && is_many && plan.inner == kThreads) {
      plan.inner = even_width(columns, plan.outer_count);
    }
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
  plan.is_streamed = kHasStreams && is_streamed(plan);
}

/// Rows that a block reads by whole steps.
bool cut_streamed_rows(ReducePlan& plan) noexcept {
  if (!kHasStreams || !is_tuned(plan) || is_position(plan)) return false;
  if (plan.reduced_count >= std::numeric_limits<int>::max() / 2) return false;
  if (!is_aligned(plan, plan.reduced[0], vector_elements(plan))) return false;
  if (plan.reduced_count * element_bytes(plan) % kStreamedBytes != 0) return false;
  ReducePlan streamed = plan;
  cut_walk(streamed, Regime::vectors);
  if (!streamed.is_streamed) return false;
  plan = streamed;
  return true;
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
    if (!cut_whole(plan) && !cut_rows(plan) && !cut_streamed_rows(plan)) cut_dense(plan);
    return;
  }
  const Regime loads = regime_of_loads(plan);
  if (loads != Regime::vectors && cut_few(plan)) return;
  if (plan.is_dense) {
    if (!cut_whole(plan) && !cut_rows(plan) && !cut_streamed_rows(plan)) cut_dense(plan);
    return;
  }
  cut_walk(plan, loads);
}

}  // namespace millrace::cuda
