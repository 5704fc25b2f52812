#include "backends/cuda/reduce/plan.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <limits>

#include "backends/cuda/reduce/cut.h"
#include "backends/cuda/reduce/measures.h"
#include "device/operation.h"

namespace millrace::cuda {
namespace {

void take_loops(const ReduceWork& work, ReducePlan& plan) noexcept {
  plan.kept_rank = work.kept.size();
  for (int i = 0; i < plan.kept_rank; ++i) {
    const int from = plan.kept_rank - 1 - i;
    plan.kept[i] = {work.kept[from], work.kept_strides[from], work.output_strides[from], 0, 0};
  }
  if (plan.reduced_count == 0) return;
  plan.reduced_rank = work.reduced.size();
  std::int64_t position = 1;
  for (int i = 0; i < plan.reduced_rank; ++i) {
    const int from = plan.reduced_rank - 1 - i;
    plan.reduced[i] = {work.reduced[from], work.reduced_strides[from], position, 0, 0};
    position *= work.reduced[from];
  }
  // Each element knows its position, so those of argmin and argmax may be walked as memory lies too.
  if (is_position(plan)) {
    std::stable_sort(plan.reduced, plan.reduced + plan.reduced_rank,
                     [](const Loop& a, const Loop& b) { return std::abs(a.stride) < std::abs(b.stride); });
  }
  // What reads the same element again goes outside, so that neighbouring threads read neighbouring ones.
  std::stable_partition(plan.reduced, plan.reduced + plan.reduced_rank,
                        [](const Loop& loop) { return loop.stride != 0; });
}

/// What is behind the last element.
const void* input_end(const ReducePlan& plan) noexcept {
  std::int64_t last = 0;
  const auto add = [&](const Loop& loop) {
    if (loop.stride > 0) last += (loop.size - 1) * loop.stride;
  };
  std::for_each(plan.kept, plan.kept + plan.kept_rank, add);
  std::for_each(plan.reduced, plan.reduced + plan.reduced_rank, add);
  return static_cast<const char*>(plan.input) + (last + 1) * static_cast<std::int64_t>(size_of(plan.dtype));
}

/// For quotients of numbers below 2^31: the smallest shift such that 2^shift >= size, and the factor that is
/// 2^32 short of 2^(32 + shift) / size, rounded up.
void prepare_division(Loop& loop) noexcept {
  if (loop.size < 1 || loop.size > std::numeric_limits<std::int32_t>::max()) return;
  const auto size = static_cast<std::uint64_t>(loop.size);
  loop.shift = static_cast<std::uint32_t>(std::bit_width(size - 1));
  const std::uint64_t factor =
      ((std::uint64_t{1} << 32) * ((std::uint64_t{1} << loop.shift) - size)) / size + 1;
  loop.factor = static_cast<std::uint32_t>(factor);
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
  plan.input_end = input_end(plan);
  cut(plan);
  for (Loop& loop : plan.kept) prepare_division(loop);
  for (Loop& loop : plan.reduced) prepare_division(loop);
  return plan;
}

}  // namespace millrace::cuda
