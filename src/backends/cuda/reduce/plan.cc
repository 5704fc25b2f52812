#include "backends/cuda/reduce/plan.h"

#include <algorithm>
#include <bit>
#include <cstdlib>

#include "device/operation.h"

namespace millrace::cuda {
namespace {

// Fewer threads than this leave a large device idle.
constexpr std::int64_t kEnoughThreads = std::int64_t{1} << 17;
// Blocks that keep a large device busy to the end; outputs are split until there are as many.
constexpr std::int64_t kEnoughBlocks = 2048;
// What a thread of a split reads at least, so that writing and merging accumulators costs little beside it.
constexpr std::int64_t kSplitElements = 32;
// What a thread reads of dense elements: a few of the widest loads.
constexpr std::int64_t kThreadBytes = 64;
constexpr std::int64_t kThreadElements = 8;
// Neighbouring threads that read neighbouring elements should fill a line of memory together.
constexpr std::int64_t kLineBytes = 128;
constexpr std::int64_t kWarp = 32;

std::int64_t ceil_div(std::int64_t a, std::int64_t b) noexcept {
  return a / b + (a % b != 0 ? 1 : 0);
}

/// The smallest power of two that is not less, at most kThreads.
std::int64_t power_of_two(std::int64_t n) noexcept {
  if (n >= kThreads) return kThreads;
  return static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(std::max<std::int64_t>(n, 1))));
}

bool is_position(const ReducePlan& plan) noexcept {
  return !plan.statistics && (plan.op == ReduceOp::argmin || plan.op == ReduceOp::argmax);
}

void take_loops(const ReduceWork& work, ReducePlan& plan) noexcept {
  plan.kept_rank = work.kept.size();
  for (int i = 0; i < plan.kept_rank; ++i) {
    const int from = plan.kept_rank - 1 - i;
    plan.kept[i] = {work.kept[from], work.kept_strides[from], work.output_strides[from]};
  }
  if (plan.reduced_count == 0) return;
  plan.reduced_rank = work.reduced.size();
  std::int64_t position = 1;
  for (int i = 0; i < plan.reduced_rank; ++i) {
    const int from = plan.reduced_rank - 1 - i;
    plan.reduced[i] = {work.reduced[from], work.reduced_strides[from], position};
    position *= work.reduced[from];
  }
  // Each element knows its position, so those of argmin and argmax may be walked as memory lies too.
  if (is_position(plan)) {
    std::stable_sort(plan.reduced, plan.reduced + plan.reduced_rank,
                     [](const Loop& a, const Loop& b) { return std::abs(a.stride) < std::abs(b.stride); });
  }
  plan.contiguous = plan.reduced_rank == 1 && plan.reduced[0].stride == 1;
}

/// The smallest step between elements of an output; 0: they are all one.
std::int64_t reduced_step(const ReducePlan& plan) noexcept {
  std::int64_t least = 0;
  for (int i = 0; i < plan.reduced_rank; ++i) {
    const std::int64_t stride = std::abs(plan.reduced[i].stride);
    if (stride != 0 && (least == 0 || stride < least)) least = stride;
  }
  return least;
}

/// Threads that share an output whose elements are closer together than outputs are.
std::int64_t ways_of_rows(const ReducePlan& plan) noexcept {
  const std::int64_t n = plan.reduced_count;
  const auto element = static_cast<std::int64_t>(size_of(plan.dtype));
  const std::int64_t own = plan.contiguous ? kThreadBytes / element : kThreadElements;
  std::int64_t ways = power_of_two(ceil_div(n, own));
  while (ways < kThreads && ways * 4 <= n && plan.kept_count < kEnoughThreads / ways) ways *= 2;
  return ways;
}

/// Threads that share an output whose neighbours are closer than its elements.
std::int64_t ways_of_columns(const ReducePlan& plan) noexcept {
  const std::int64_t line = std::max(kWarp, kLineBytes / static_cast<std::int64_t>(size_of(plan.dtype)));
  const std::int64_t extent = plan.kept[0].size;
  // Not one more line for a few columns.
  const std::int64_t columns = power_of_two(std::min(extent, extent <= 2 * line ? 2 * line : line));
  std::int64_t ways = kThreads / columns;
  while (ways > 1 && ways * 4 > plan.reduced_count) ways /= 2;
  return ways;
}

void cut(ReducePlan& plan) noexcept {
  const std::int64_t kept_step = plan.kept_rank == 0 ? 0 : std::abs(plan.kept[0].stride);
  const std::int64_t step = reduced_step(plan);
  plan.columns_adjacent = kept_step != 0 && (step == 0 || kept_step < step);
  const std::int64_t ways = plan.columns_adjacent ? ways_of_columns(plan) : ways_of_rows(plan);
  plan.ways = static_cast<int>(ways);
  plan.columns = kThreads / plan.ways;
  plan.tiles = ceil_div(plan.kept_count, plan.columns);
  plan.splits = 1;
  plan.split_size = plan.reduced_count;
  if (plan.tiles > kEnoughBlocks / 2) return;
  const std::int64_t most = std::min(kEnoughBlocks / std::max<std::int64_t>(plan.tiles, 1),
                                     plan.reduced_count / (ways * kSplitElements));
  if (most < 2) return;
  // Whole widest loads, so that where the first begins aligned all do.
  plan.split_size = ceil_div(ceil_div(plan.reduced_count, most), kLineBytes) * kLineBytes;
  plan.splits = ceil_div(plan.reduced_count, plan.split_size);
}

void set_step(ReducePlan& plan) noexcept {
  std::int64_t left = plan.ways;
  for (int i = 0; i < plan.reduced_rank; ++i) {
    const Loop& loop = plan.reduced[i];
    // What is left for the outermost loop it may not have; then no thread takes a second step.
    const bool outermost = i + 1 == plan.reduced_rank;
    plan.step[i] = outermost ? left : left % loop.size;
    left /= loop.size;
    plan.step_stride += plan.step[i] * loop.stride;
    plan.step_position += plan.step[i] * loop.other;
  }
}

}  // namespace

ReducePlan plan_reduce(const ReduceWork& work) noexcept {
  ReducePlan plan{};
  plan.input = work.input;
  plan.output = work.output;
  plan.values = work.values;
  plan.kept_count = work.kept_count;
  plan.reduced_count = work.reduced_count;
  plan.correction = work.correction;
  plan.dtype = work.input_dtype;
  plan.op = work.op;
  plan.statistics = work.statistics;
  // There are none among integers, whatever these are.
  const bool counts_none = !work.statistics && !is_floating(work.input_dtype) &&
                           (work.op == ReduceOp::count_nan || work.op == ReduceOp::count_inf);
  if (counts_none) plan.reduced_count = 0;
  take_loops(work, plan);
  cut(plan);
  set_step(plan);
  return plan;
}

}  // namespace millrace::cuda
