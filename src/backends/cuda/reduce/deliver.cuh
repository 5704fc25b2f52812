// From what the threads of a tile have found to its results.
#pragma once

#include <cstdint>

#include "backends/cuda/reduce/finish.cuh"
#include "backends/cuda/reduce/merge.cuh"
#include "backends/cuda/reduce/plan.h"
#include "backends/cuda/reduce/split.cuh"
#include "backends/cuda/reduce/steps.cuh"
#include "backends/cuda/reduce/variants.h"

namespace millrace::cuda {

/// How many accumulators of a thread are merged at once where that takes shared memory.
template <class Fold, int kLanes>
inline constexpr int kLanesAtOnce = [] {
  constexpr int kMost = (8 << 10) / (kThreads * static_cast<int>(sizeof(typename Fold::Accumulator)));
  return kMost < 1 ? 1 : kMost < kLanes ? kMost : kLanes;
}();

/// Can warps merge before the block does? Each then has all columns of some ways.
template <class Fold, int kLanes>
__device__ bool has_warp_merges(const ReducePlan& plan) {
  constexpr int kMost = kThreads * kLanesAtOnce<Fold, kLanes> / (kThreads / kWarp * kLanes);  // columns
  return kHasWarpMerges && plan.inner <= kMost && plan.inner < kWarp && __popc(plan.inner) == 1 &&
         __popc(plan.ways) == 1 && plan.ways * plan.inner >= kWarp;
}

/// The same result as merge_ways, with one barrier before all is merged instead of one a step.
template <class Fold, int kLanes, int kSize>
__device__ void merge_ways_by_warps(const ReducePlan& plan, typename Fold::Accumulator (&found)[kLanes],
                                    SharedValues<typename Fold::Accumulator, kSize>& memory) {
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp, seat = thread % kWarp;
  const int inner = plan.inner, column = seat & (inner - 1), warps = plan.ways * inner / kWarp;
  const auto merge_in_warp = [&] {
    for (int by = kWarp / 2; by >= inner; by /= 2) {
#pragma unroll
      for (int lane = 0; lane < kLanes; ++lane) Fold::merge(found[lane], from_lane_above(found[lane], by));
    }
  };
  merge_in_warp();
  if (warps == 1) return;
  const int values = kThreads / kWarp * inner;  // of a lane
  if (seat < inner) {
#pragma unroll
    for (int lane = 0; lane < kLanes; ++lane) memory[lane * values + warp * inner + column] = found[lane];
  }
  __syncthreads();
  if (warp % warps == 0) {
#pragma unroll
    for (int lane = 0; lane < kLanes; ++lane) found[lane] = Fold::nothing();
    for (int i = seat / inner; i < warps; i += kWarp / inner) {
#pragma unroll
      for (int lane = 0; lane < kLanes; ++lane) {
        Fold::merge(found[lane], memory[lane * values + (warp + i) * inner + column]);
      }
    }
    merge_in_warp();
  }
  __syncthreads();  // the next round writes where others may still read
}

/// Merges what the ways of each output have found; the results are then those of the first of them. All
/// threads of the block call it.
template <class Fold, int kLanes, int kSize>
__device__ void merge_ways(const ReducePlan& plan, const Seat& seat,
                           typename Fold::Accumulator (&found)[kLanes],
                           SharedValues<typename Fold::Accumulator, kSize>& memory) {
  constexpr int kAtOnce = kLanesAtOnce<Fold, kLanes>;
  const int thread = static_cast<int>(threadIdx.x);
  if (plan.ways == 1) return;
  if constexpr (kLanes == 1) {
    if (plan.ways_are_neighbours) return merge_neighbours<Fold>(found[0], plan.ways);
  } else {
    if (has_warp_merges<Fold, kLanes>(plan)) return merge_ways_by_warps<Fold, kLanes>(plan, found, memory);
  }
#pragma unroll
  for (int first = 0; first < kLanes; first += kAtOnce) {
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) memory[i * kThreads + thread] = found[first + i];
    merge_in_memory<Fold, kAtOnce>(memory, seat.way, plan.ways, plan.inner);
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) found[first + i] = memory[i * kThreads + thread];
    __syncthreads();  // the next round writes where others may still read
  }
}

/// Merges, and writes the results; of a split tile only if this is the last of its blocks. All threads of the
/// block call it.
template <class Fold, int kLanes, int kSize>
__device__ void deliver(const ReducePlan& plan, std::int64_t number,
                        typename Fold::Running (&running)[kLanes],
                        SharedValues<typename Fold::Accumulator, kSize>& memory,
                        const Splits<typename Fold::Accumulator>& others) {
  using Accumulator = typename Fold::Accumulator;
  const Seat seat(plan);
  const Unit unit(plan, number);
  Accumulator found[kLanes];
#pragma unroll
  for (int lane = 0; lane < kLanes; ++lane) found[lane] = Fold::total(running[lane]);
  merge_ways<Fold, kLanes>(plan, seat, found, memory);
  if (plan.splits == 1) {
    if (seat.way != 0) return;
    // Found once more: registers are scarce while elements are added.
    const Output output(plan, unit.tile, seat.column, seat.outer);
    finish_lanes<Fold, kLanes>(plan, found, output.lanes, output.place);
    return;
  }

  const int outputs = plan.inner * plan.outer * kLanes;
  auto* const left = others.found + unit.tile * plan.splits * outputs;
  if (seat.way == 0 && seat.outer < plan.outer) {
    auto* const own = left + unit.split * outputs + (seat.outer * plan.inner + seat.column) * kLanes;
#pragma unroll
    for (int lane = 0; lane < kLanes; ++lane) own[lane] = found[lane];
    publish_split();
  }
  if (!is_last_split(others.tickets + unit.tile, plan.splits)) return;
  finish_splits<Fold>(memory, left, plan.splits, outputs, [&](int which, const Accumulator& result) {
    const int column = which / kLanes, lane = which % kLanes;
    Output output(plan, unit.tile, column % plan.inner, column / plan.inner);
    if (lane >= output.lanes) return;
    output.place.output += lane * plan.lane_output;
    finish<Fold>(plan, result, output.place);
  });
}

}  // namespace millrace::cuda
