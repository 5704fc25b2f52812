// Short rows: each warp takes some at a time and merges them by itself, so that no thread waits for more than
// its own loads.
#pragma once

#include <cstdint>

#include "backends/cuda/reduce/finish.cuh"
#include "backends/cuda/reduce/load.cuh"
#include "backends/cuda/reduce/merge.cuh"
#include "backends/cuda/reduce/place.cuh"
#include "backends/cuda/reduce/plan.h"
#include "backends/cuda/reduce/variants.h"

namespace millrace::cuda {

/// A thread loads kVectorsAtOnce vectors, of kRows rows.
template <class Fold, int kRows>
__device__ __forceinline__ void rows_block(const ReducePlan& plan) {
  using Stored = typename Element<Fold::kDType>::Stored;
  using Vectors = Vector<Fold::kDType>;
  constexpr int kAtOnce = kVectorsAtOnce / kRows;
  constexpr int kWarps = kThreads / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int way = lane % plan.ways;
  const int rows = kWarp / plan.ways;  // that a warp loads at once
  // Otherwise ends are loaded one after the other once all else is added.
  const bool has_ends = kHasRowsAtOnce && Fold::kHasLanes && !plan.is_aligned;
  std::int64_t tile = std::int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp;
  for (; tile < plan.tiles; tile += std::int64_t{gridDim.x} * kWarps) {
    const std::int64_t first = tile * (rows * kRows) + lane / plan.ways;
    Vectors loaded[kRows][kAtOnce];
    Place places[kRows];
    const auto run_of = [&](int row) {
      const bool exists = first + row * rows < plan.kept_count;
      return Run<Fold::kDType>(static_cast<const Stored*>(plan.input) + places[row].input,
                               exists ? plan.reduced_count : 0, plan.input_end);
    };
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      places[row] = place_of(plan, 0, plan.kept_rank, first + row * rows);
      const Run<Fold::kDType> run = run_of(row);
      const auto whole = static_cast<int>(run.first_whole()), end = static_cast<int>(run.end_whole());
      if (has_ends) {
        const auto vectors = static_cast<int>(run.vectors());
#pragma unroll
        for (int k = 0; k < kAtOnce; ++k) {
          const int i = way + k * plan.ways;
          if (i < vectors) loaded[row][k] = run.load_part(i);
        }
      } else if (whole == 0 && kAtOnce * plan.ways <= end) {
#pragma unroll
        for (int k = 0; k < kAtOnce; ++k) loaded[row][k] = run.load_whole(way + k * plan.ways);
      } else {
#pragma unroll
        for (int k = 0; k < kAtOnce; ++k) {
          const int i = way + k * plan.ways;
          if (i >= whole && i < end) loaded[row][k] = run.load_whole(i);
        }
      }
    }
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      typename Fold::Running running;
      const Run<Fold::kDType> run = run_of(row);
      const auto whole = static_cast<int>(run.first_whole()), end = static_cast<int>(run.end_whole());
      const auto add = [&](int k) {
        add_vector<Fold>(running, loaded[row][k], run.position_of(way + k * plan.ways, 0));
      };
      if (has_ends) {
        const auto vectors = static_cast<int>(run.vectors());
#pragma unroll
        for (int k = 0; k < kAtOnce; ++k) {
          const int i = way + k * plan.ways;
          if (i >= whole && i < end) {
            add(k);
          } else if (i < vectors) {
            run.template add_part<Fold>(running, loaded[row][k], i, 0);
          }
        }
      } else if (whole == 0 && kAtOnce * plan.ways <= end) {
#pragma unroll
        for (int k = 0; k < kAtOnce; ++k) add(k);
      } else {
#pragma unroll
        for (int k = 0; k < kAtOnce; ++k) {
          const int i = way + k * plan.ways;
          if (i >= whole && i < end) add(k);
        }
        if (!plan.is_aligned) Share{way, plan.ways}.template add_ends<Fold>(running, run, 0);
      }
      Fold::settle(running);
      auto found = Fold::total(running);
      merge_in_warp<Fold>(found, plan.ways);
      if (way == 0 && first + row * rows < plan.kept_count) finish<Fold>(plan, found, places[row]);
    }
  }
}

template <class Fold, int kRows>
__global__ void __launch_bounds__(kThreads, Fold::kHasLanes ? 4 : 2)
    rows_kernel(const __grid_constant__ ReducePlan plan) {
  rows_block<Fold, kRows>(plan);
}

}  // namespace millrace::cuda
