// What the parts of cutting a reduction ask of its plan, and what they take a device to be.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "backends/cuda/reduce/plan.h"

namespace millrace::cuda {

// Blocks that a large device holds at a time. Memory is kept busy by fewer; more would leave some of them a
// turn of their own at the end.
inline constexpr std::int64_t kResidentBlocks = 528;
inline constexpr std::int64_t kEnoughThreads = kResidentBlocks * kThreads;
// Neighbouring threads that read neighbouring elements should fill a line of memory together.
inline constexpr std::int64_t kLineBytes = 128;
// What memory is read and written by.
inline constexpr std::int64_t kSectorBytes = 32;

inline std::int64_t ceil_div(std::int64_t a, std::int64_t b) noexcept {
  return a / b + (a % b != 0 ? 1 : 0);
}

/// The largest power of two that is not more; n is positive.
inline std::int64_t power_below(std::int64_t n) noexcept {
  return static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(n)));
}

/// The smallest that is not less.
inline std::int64_t power_above(std::int64_t n) noexcept {
  return static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(n)));
}

inline std::int64_t element_bytes(const ReducePlan& plan) noexcept {
  return static_cast<std::int64_t>(size_of(plan.dtype));
}

inline std::int64_t vector_elements(const ReducePlan& plan) noexcept {
  return kVectorBytes / element_bytes(plan);
}

/// Vectors that n elements may touch, wherever they begin.
inline std::int64_t vectors_of_run(const ReducePlan& plan, std::int64_t n, bool aligned) noexcept {
  const std::int64_t elements = vector_elements(plan);
  return aligned ? n / elements : (n + elements - 2) / elements + 1;
}

/// Are there kernels for all regimes?
inline bool is_tuned(const ReducePlan& plan) noexcept {
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

inline bool is_position(const ReducePlan& plan) noexcept {
  return !plan.statistics && (plan.op == ReduceOp::argmin || plan.op == ReduceOp::argmax);
}

/// Folds with kHasLanes.
inline bool has_lanes(const ReducePlan& plan) noexcept {
  return !plan.statistics && plan.op != ReduceOp::var && plan.op != ReduceOp::std;
}

/// Are all strides but those of the loop that vectors of so many elements go along, and the address,
/// multiples of such a vector?
inline bool is_aligned(const ReducePlan& plan, const Loop& along, std::int64_t elements) noexcept {
  if (along.stride != 1 || along.size % elements != 0) return false;
  const auto address = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(plan.input));
  if (address % (elements * element_bytes(plan)) != 0) return false;
  const auto fits = [&](const Loop& loop) { return &loop == &along || loop.stride % elements == 0; };
  return std::all_of(plan.kept, plan.kept + plan.kept_rank, fits) &&
         std::all_of(plan.reduced, plan.reduced + plan.reduced_rank, fits);
}

}  // namespace millrace::cuda
