// Writing results.
#pragma once

#include <cstdint>
#include <cstring>

#include "backends/cuda/reduce/place.cuh"
#include "backends/cuda/reduce/plan.h"

namespace millrace::cuda {

/// Folds whose result is one number say which, and the others write what they have themselves.
template <class Fold>
concept HasResult = requires(const ReducePlan& plan, const typename Fold::Accumulator& found) {
  Fold::result(plan, found);
};

template <class Fold>
__device__ void finish(const ReducePlan& plan, const typename Fold::Accumulator& found, const Place& place) {
  if constexpr (HasResult<Fold>) {
    static_cast<typename Fold::Result*>(plan.output)[place.output] = Fold::result(plan, found);
  } else {
    Fold::finish(plan, found, place);
  }
}

/// Those of n outputs that are plan.lane_output apart; by whole vectors where they follow each other.
template <class Fold, int kLanes>
__device__ void finish_lanes(const ReducePlan& plan, const typename Fold::Accumulator (&found)[kLanes], int n,
                             Place place) {
  if constexpr (HasResult<Fold>) {
    using Result = typename Fold::Result;
    constexpr int kBytes = kLanes * static_cast<int>(sizeof(Result));
    auto* const to = static_cast<Result*>(plan.output) + place.output;
    if (kBytes % kVectorBytes == 0 && n == kLanes && plan.lane_output == 1 &&
        reinterpret_cast<std::uintptr_t>(to) % kVectorBytes == 0) {
      alignas(kVectorBytes) Result results[kLanes];
#pragma unroll
      for (int lane = 0; lane < kLanes; ++lane) results[lane] = Fold::result(plan, found[lane]);
      uint4 vectors[(kBytes + kVectorBytes - 1) / kVectorBytes];
      memcpy(vectors, results, sizeof results);
#pragma unroll
      for (int i = 0; i < kBytes / kVectorBytes; ++i) reinterpret_cast<uint4*>(to)[i] = vectors[i];
      return;
    }
  }
#pragma unroll
  for (int lane = 0; lane < kLanes; ++lane) {
    if (lane < n) finish<Fold>(plan, found[lane], place);
    place.output += plan.lane_output;
  }
}

}  // namespace millrace::cuda
