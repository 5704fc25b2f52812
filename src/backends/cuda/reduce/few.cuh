// Many outputs of few elements each: a thread has some outputs by itself, so that there is nothing to merge.
#pragma once

#include <cstdint>
#include <type_traits>

#include "backends/cuda/reduce/finish.cuh"
#include "backends/cuda/reduce/load.cuh"
#include "backends/cuda/reduce/place.cuh"
#include "backends/cuda/reduce/plan.h"
#include "backends/cuda/reduce/steps.cuh"

namespace millrace::cuda {

/// Two elements of two bytes.
template <DType kType>
struct Pair {
  std::uint32_t word;
  __device__ typename Element<kType>::Value operator[](int i) const {
    return Element<kType>::load(static_cast<typename Element<kType>::Stored>(word >> (16 * i)));
  }
};
/// One of any type.
template <DType kType>
struct Single {
  typename Element<kType>::Stored stored;
  __device__ typename Element<kType>::Value operator[](int /*i*/) const {
    return Element<kType>::load(stored);
  }
};

/// Neighbouring outputs are kLanes lanes of as many elements that are loaded at once.
template <class Fold, int kLanes>
class Few {
 public:
  static constexpr DType kDType = Fold::kDType;
  using Loaded = std::conditional_t<kLanes == 1, Single<kDType>,
                                    std::conditional_t<kLanes == 2, Pair<kDType>, Vector<kDType>>>;
  // So that some 64 bytes of each thread are on their way.
  static constexpr int kOutputs = kLanes == 1 ? 4 : kLanes == 2 ? 2 : 1;
  static constexpr int kAtOnce = kLanes == 1 && sizeof(Loaded) == 4 ? 4 : 8;
  static constexpr int kSettle = 64 / kAtOnce;
  static constexpr int kElement = static_cast<int>(sizeof(typename Element<kDType>::Stored));

  /// Those from `number` on that are kThreads apart. offsets: of each step, in bytes; positions: only looked
  /// at where the fold does.
  static __device__ void reduce(const ReducePlan& plan, std::uint32_t number, std::uint32_t end,
                                const std::int64_t* offsets, const std::int64_t* positions) {
    Place places[kOutputs];
    find(plan, number, places);
    typename Fold::Running running[kOutputs][kLanes];
    const auto steps = static_cast<int>(plan.steps);
    for (int i = 0; i < steps; i += kAtOnce) {
      Loaded loaded[kOutputs][kAtOnce];
#pragma unroll
      for (int output = 0; output < kOutputs; ++output) {
        if (number + output * kThreads >= end) continue;
        const char* const from = static_cast<const char*>(plan.input) + places[output].input * kElement;
#pragma unroll
        for (int k = 0; k < kAtOnce; ++k) {
          if (i + k < steps) loaded[output][k] = load(from + offsets[i + k]);
        }
      }
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) {
        if (i + k >= steps) continue;
        const std::int64_t position = Fold::kHasPosition ? positions[i + k] : 0;
#pragma unroll
        for (int output = 0; output < kOutputs; ++output) {
#pragma unroll
          for (int lane = 0; lane < kLanes; ++lane) {
            Fold::add(running[output][lane], loaded[output][k][lane], position);
          }
        }
      }
      if (i / kAtOnce % kSettle == kSettle - 1) settle(running);
    }
    settle(running);
#pragma unroll
    for (int output = 0; output < kOutputs; ++output) {
      if (number + output * kThreads >= end) continue;
      typename Fold::Accumulator found[kLanes];
#pragma unroll
      for (int lane = 0; lane < kLanes; ++lane) found[lane] = Fold::total(running[output][lane]);
      finish_lanes<Fold, kLanes>(plan, found, kLanes, places[output]);
    }
  }

 private:
  static __device__ Loaded load(const char* at) {
    if constexpr (sizeof(Loaded) == kVectorBytes) {
      return load_vector<kDType>(at);
    } else {
      return *reinterpret_cast<const Loaded*>(at);
    }
  }
  static __device__ void settle(typename Fold::Running (&running)[kOutputs][kLanes]) {
#pragma unroll
    for (auto& output : running) {
#pragma unroll
      for (auto& lane : output) Fold::settle(lane);
    }
  }
  /// A loop after the other for all outputs, so that none waits for its own divisions alone.
  static __device__ void find(const ReducePlan& plan, std::uint32_t number, Place (&places)[kOutputs]) {
    std::uint32_t left[kOutputs];
#pragma unroll
    for (int output = 0; output < kOutputs; ++output) left[output] = number + output * kThreads;
#pragma unroll 1
    for (int i = 0; i + 1 < plan.kept_rank; ++i) {
      const Loop& loop = plan.kept[i];
#pragma unroll
      for (int output = 0; output < kOutputs; ++output) {
        const std::uint32_t quotient = (__umulhi(left[output], loop.factor) + left[output]) >> loop.shift;
        places[output].move(loop, left[output] - quotient * static_cast<std::uint32_t>(loop.size));
        left[output] = quotient;
      }
    }
#pragma unroll
    for (int output = 0; output < kOutputs; ++output) {
      places[output].move(plan.kept[plan.kept_rank - 1], left[output]);
    }
  }
};

template <class Fold, int kLanes>
__global__ void __launch_bounds__(kThreads, 3) few_kernel(const __grid_constant__ ReducePlan plan) {
  using F = Few<Fold, kLanes>;
  __shared__ std::int64_t offsets[kMostFew], positions[Fold::kHasPosition ? kMostFew : 1];
  for (int i = static_cast<int>(threadIdx.x); i < plan.steps; i += kThreads) {
    const Offset offset = offset_of_step(plan, i);
    offsets[i] = offset.input * F::kElement;
    if constexpr (Fold::kHasPosition) positions[i] = offset.position;
  }
  __syncthreads();
  const auto end = static_cast<std::uint32_t>(plan.outer_count);
  const std::uint32_t step = gridDim.x * (kThreads * F::kOutputs);
  for (std::uint32_t number = blockIdx.x * (kThreads * F::kOutputs) + threadIdx.x; number < end;
       number += step) {
    F::reduce(plan, number, end, offsets, positions);
  }
}

}  // namespace millrace::cuda
