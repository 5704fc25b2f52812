// From the numbers of outputs and elements to where they are.
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

/// Where an output is, and the first of its elements.
struct OutputPlace {
  std::int64_t input = 0;
  std::int64_t output = 0;
};

__device__ inline OutputPlace output_place(const ReducePlan& plan, std::int64_t number) {
  OutputPlace place;
  for (int i = 0; i < plan.kept_rank; ++i) {
    std::int64_t index = number;
    if (i + 1 < plan.kept_rank) number = divide(index, plan.kept[i].size);
    place.input += index * plan.kept[i].stride;
    place.output += index * plan.kept[i].other;
  }
  return place;
}

/// Goes through elements of an output, a plan's step at a time, without a division.
class ElementWalk {
 public:
  __device__ ElementWalk(const ReducePlan& plan, std::int64_t number) : plan_(plan) {
#pragma unroll
    for (int i = 0; i < kMaxDims; ++i) {
      if (i >= plan.reduced_rank) break;
      index_[i] = number;
      if (i + 1 < plan.reduced_rank) number = divide(index_[i], plan.reduced[i].size);
      offset_ += index_[i] * plan.reduced[i].stride;
      position_ += index_[i] * plan.reduced[i].other;
    }
  }

  __device__ std::int64_t offset() const {
    return offset_;
  }
  __device__ std::int64_t position() const {
    return position_;
  }

  __device__ void next() {
    offset_ += plan_.step_stride;
    position_ += plan_.step_position;
    // An addition of numbers whose digits are the indices. The outermost loop is at its end when the walk is.
    std::int64_t carry = 0;
#pragma unroll
    for (int i = 0; i + 1 < kMaxDims; ++i) {
      if (i + 1 >= plan_.reduced_rank) break;
      const Loop& loop = plan_.reduced[i];
      const Loop& outer = plan_.reduced[i + 1];
      index_[i] += plan_.step[i] + carry;
      carry = 0;
      if (index_[i] >= loop.size) {
        carry = 1;
        index_[i] -= loop.size;
        offset_ += outer.stride - loop.size * loop.stride;
        position_ += outer.other - loop.size * loop.other;
      }
    }
  }

 private:
  const ReducePlan& plan_;
  std::int64_t index_[kMaxDims];
  std::int64_t offset_ = 0;
  std::int64_t position_ = 0;
};

}  // namespace millrace::cuda
