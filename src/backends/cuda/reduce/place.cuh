// From the numbers of outputs to where they are.
#pragma once

#include <cstdint>

#include "backends/cuda/reduce/plan.h"

namespace millrace::cuda {

/// Leaves the remainder in place of n. Both are positive; mostly they are small, and then several times
/// faster.
__device__ inline std::int64_t divide(std::int64_t& n, std::int64_t by) {
  if (((n | by) >> 32) == 0) {
    const auto small = static_cast<std::uint32_t>(n), divisor = static_cast<std::uint32_t>(by);
    const std::uint32_t quotient = small / divisor;
    n = small - quotient * divisor;
    return quotient;
  }
  const std::int64_t quotient = n / by;
  n -= quotient * by;
  return quotient;
}

/// The same by the size of a loop, which the plan has prepared: two multiplications.
__device__ inline std::int64_t divide(std::int64_t& n, const Loop& loop) {
  if (n >> 31 != 0 || loop.factor == 0) return divide(n, loop.size);
  const auto small = static_cast<std::uint32_t>(n);
  const std::uint32_t quotient = (__umulhi(small, loop.factor) + small) >> loop.shift;
  n = small - quotient * static_cast<std::uint32_t>(loop.size);
  return quotient;
}

/// Where an output is, and the first of its elements.
struct Place {
  std::int64_t input = 0;
  std::int64_t output = 0;

  __device__ void move(const Loop& loop, std::int64_t steps) {
    input += steps * loop.stride;
    output += steps * loop.other;
  }
};

/// That of a number which counts through the kept loops from `first` up to before `end`. Not inlined, nor are
/// its like: there are divisions in them, and kernels that need several would take long to compile.
__device__ __noinline__ inline Place place_in_loops(const ReducePlan& plan, int first, int end,
                                                    std::int64_t number) {
  Place place;
#pragma unroll 1
  for (int i = first; i + 1 < end; ++i) {
    std::int64_t index = number;
    number = divide(index, plan.kept[i]);
    place.move(plan.kept[i], index);
  }
  place.move(plan.kept[end - 1], number);
  return place;
}

__device__ inline Place place_of(const ReducePlan& plan, int first, int end, std::int64_t number) {
  Place place;
  if (end - first > 1) return place_in_loops(plan, first, end, number);
  if (first < end) place.move(plan.kept[first], number);
  return place;
}

}  // namespace millrace::cuda
