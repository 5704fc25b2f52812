// Outputs whose elements follow each other in memory, at any address.
#pragma once

#include <cstdint>

#include "backends/cuda/reduce/deliver.cuh"
#include "backends/cuda/reduce/load.cuh"
#include "backends/cuda/reduce/merge.cuh"
#include "backends/cuda/reduce/plan.h"
#include "backends/cuda/reduce/split.cuh"
#include "backends/cuda/reduce/steps.cuh"

namespace millrace::cuda {

/// Vectors that a thread has on their way at once. Where there are few threads, each needs more.
template <class Fold>
inline constexpr int kRunVectorsAtOnce =
    !Fold::kHasLanes && has_tuned_kernels(Fold::kDType) ? 2 * kVectorsAtOnce : kVectorsAtOnce;

/// A thread's part of a run, whose first element has that position.
template <class Fold>
__device__ void add_run(typename Fold::Running& running, const Run<Fold::kDType>& run, std::int64_t position,
                        const Share& share) {
  constexpr int kAtOnce = kRunVectorsAtOnce<Fold>;
  const int way = share.way, ways = share.ways;
  const std::int64_t vectors = run.vectors();
  // Asked for all ways, so that a warp does the same.
  const auto are_whole = [&](std::int64_t i) { return run.is_whole(i - way, i - way + kAtOnce * ways - 1); };
  for (std::int64_t i = way; i < vectors; i += kAtOnce * ways) {
    Vector<Fold::kDType> loaded[kAtOnce];
    if (are_whole(i)) {
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) loaded[k] = run.load_streamed(i + k * ways);
      // Where adding takes its time, another is loaded in the place of each as soon as it is added, so that
      // as many are always on their way.
      if constexpr (!Fold::kHasLanes) {
        for (; are_whole(i + kAtOnce * ways); i += kAtOnce * ways) {
#pragma unroll
          for (int k = 0; k < kAtOnce; ++k) {
            add_vector<Fold>(running, loaded[k], run.position_of(i + k * ways, position));
            loaded[k] = run.load_streamed(i + (kAtOnce + k) * ways);
          }
          Fold::settle(running);
        }
      }
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) {
        add_vector<Fold>(running, loaded[k], run.position_of(i + k * ways, position));
      }
    } else {
      // An end of the run.
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) {
        if (run.is_whole(i + k * ways)) loaded[k] = run.load_streamed(i + k * ways);
      }
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) {
        if (run.is_whole(i + k * ways)) {
          add_vector<Fold>(running, loaded[k], run.position_of(i + k * ways, position));
        }
      }
    }
    Fold::settle(running);
  }
  share.add_ends<Fold>(running, run, position);
  Fold::settle(running);
}

/// Blocks that a multiprocessor should hold. Wide vectors and large accumulators would not fit the registers
/// that four leave.
template <class Fold>
inline constexpr int kBlocksAtOnce =
    !Fold::kHasLanes || sizeof(typename Element<Fold::kDType>::Stored) == 1 ? 2 : 4;

template <class Fold>
__device__ __forceinline__ void dense_block(const ReducePlan& plan,
                                            const Splits<typename Fold::Accumulator>& others) {
  using Stored = typename Element<Fold::kDType>::Stored;
  __shared__ SharedValues<typename Fold::Accumulator, kThreads> memory;
  for (std::int64_t number = blockIdx.x; number < plan.tiles * plan.splits; number += gridDim.x) {
    typename Fold::Running running[1];
    const Seat seat(plan);
    const Unit unit(plan, number);
    const Output output(plan, unit.tile, seat.column, seat.outer);
    if (output.lanes != 0) {
      // A step is an element here, of whichever way.
      const auto* const from = static_cast<const Stored*>(plan.input) + output.place.input + unit.first;
      const Run<Fold::kDType> run(from, unit.steps(plan, plan.steps), plan.input_end);
      add_run<Fold>(running[0], run, unit.first, {seat.way, plan.ways});
    }
    deliver<Fold, 1>(plan, number, running, memory, others);
  }
}

template <class Fold>
__global__ void __launch_bounds__(kThreads, kBlocksAtOnce<Fold>)
    dense_kernel(const __grid_constant__ ReducePlan plan, Splits<typename Fold::Accumulator> others) {
  dense_block<Fold>(plan, others);
}

}  // namespace millrace::cuda
