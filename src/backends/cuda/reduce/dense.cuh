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
                        int way, int ways) {
  constexpr int kAtOnce = kRunVectorsAtOnce<Fold>;
  const std::int64_t vectors = run.vectors();
  for (std::int64_t i = way; i < vectors; i += kAtOnce * ways) {
    Vector<Fold::kDType> loaded[kAtOnce];
    // Asked for all ways, so that a warp does the same.
    if (run.is_whole(i - way, i - way + kAtOnce * ways - 1)) {
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) loaded[k] = run.load_whole(i + k * ways);
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) {
        run.template add_whole<Fold>(running, loaded[k], i + k * ways, position);
      }
    } else {
      // An end of the run.
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) {
        if (i + k * ways < vectors) loaded[k] = run.load(i + k * ways);
      }
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) {
        if (i + k * ways < vectors) run.template add<Fold>(running, loaded[k], i + k * ways, position);
      }
    }
    Fold::settle(running);
  }
}

/// Blocks that a multiprocessor should hold. Wide vectors and large accumulators would not fit the registers
/// that four leave.
template <class Fold>
inline constexpr int kBlocksAtOnce =
    !Fold::kHasLanes || sizeof(typename Element<Fold::kDType>::Stored) == 1 ? 2 : 4;

template <class Fold>
__global__ void __launch_bounds__(kThreads, kBlocksAtOnce<Fold>)
    dense_kernel(const __grid_constant__ ReducePlan plan, Splits<typename Fold::Accumulator> others) {
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
      add_run<Fold>(running[0], run, unit.first, seat.way, plan.ways);
    }
    deliver<Fold, 1>(plan, number, running, memory, others);
  }
}

}  // namespace millrace::cuda
