// Kernels that do several reductions of one plan: a row of blocks for each, which does what the regime's own
// kernel does, so that results have the same bits.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "backends/cuda/reduce/dense.cuh"
#include "backends/cuda/reduce/pack.h"
#include "backends/cuda/reduce/plan.h"
#include "backends/cuda/reduce/rows.cuh"
#include "backends/cuda/reduce/walk.cuh"
#include "backends/cuda/reduce/whole.cuh"

namespace millrace::cuda {

/// The plan of the block's own item, made in shared memory: a parameter can't be written, and a copy in each
/// thread would be one in memory. All threads of the block call it.
__device__ inline const ReducePlan& plan_of_item(const ReducePlan& plan, const PackItem& item) {
  using Word = unsigned long long;
  constexpr int kWords = sizeof(ReducePlan) / sizeof(Word);
  constexpr int kOwn = 3;
  static_assert(sizeof(ReducePlan) % sizeof(Word) == 0);
  static_assert(offsetof(ReducePlan, input) == 0 && offsetof(ReducePlan, output) == sizeof(Word) &&
                offsetof(ReducePlan, input_end) == 2 * sizeof(Word));
  __shared__ ReducePlan own;
  const auto* const from = reinterpret_cast<const Word*>(&plan);
  auto* const to = reinterpret_cast<Word*>(&own);
  for (int i = kOwn + static_cast<int>(threadIdx.x); i < kWords; i += static_cast<int>(blockDim.x)) {
    to[i] = from[i];
  }
  if (threadIdx.x == 0) {
    own.input = item.input;
    own.output = item.output;
    own.input_end = static_cast<const char*>(item.input) +
                    (static_cast<const char*>(plan.input_end) - static_cast<const char*>(plan.input));
  }
  __syncthreads();
  return own;
}

template <class Accumulator>
__device__ Splits<Accumulator> splits_of_item(const PackItem& item) {
  return {static_cast<Accumulator*>(item.accumulators), item.tickets};
}

template <class Fold>
__global__ void __launch_bounds__(kWholeThreads, 1)
    whole_pack(const __grid_constant__ ReducePlan plan, const __grid_constant__ Pack pack) {
  const PackItem& item = pack.items[blockIdx.y];
  whole_block<Fold>(plan_of_item(plan, item),
                    reinterpret_cast<WholeSlot<typename Fold::Accumulator>*>(item.tickets));
}

template <class Fold, int kRows>
__global__ void __launch_bounds__(kThreads, Fold::kHasLanes ? 4 : 2)
    rows_pack(const __grid_constant__ ReducePlan plan, const __grid_constant__ Pack pack) {
  rows_block<Fold, kRows>(plan_of_item(plan, pack.items[blockIdx.y]));
}

template <class Fold>
__global__ void __launch_bounds__(kThreads, kBlocksAtOnce<Fold>)
    dense_pack(const __grid_constant__ ReducePlan plan, const __grid_constant__ Pack pack) {
  const PackItem& item = pack.items[blockIdx.y];
  dense_block<Fold>(plan_of_item(plan, item), splits_of_item<typename Fold::Accumulator>(item));
}

template <class Fold>
__global__ void __launch_bounds__(kThreads, Walker<Fold, Regime::lanes>::kLanes > 1 ? 3 : 4)
    lanes_pack(const __grid_constant__ ReducePlan plan, const __grid_constant__ Pack pack) {
  const PackItem& item = pack.items[blockIdx.y];
  walk_block<Fold, Regime::lanes>(plan_of_item(plan, item), splits_of_item<typename Fold::Accumulator>(item));
}

template <typename... Parameters>
const void* address(void (*kernel)(Parameters...)) {
  return reinterpret_cast<const void*>(kernel);
}

/// The kernel for a plan's regime; null where there is none (is_packable).
template <class Fold>
const void* pack_kernel_for(const ReducePlan& plan) {
  if (plan.regime == Regime::rows) {
    if constexpr (Fold::kHasLanes && !Fold::kHasPosition) {
      if (plan.rows_at_once == 2) return address(&rows_pack<Fold, 2>);
    }
    return address(&rows_pack<Fold, 1>);
  }
  if constexpr (Fold::kHasLanes) {
    if (plan.regime == Regime::whole) return address(&whole_pack<Fold>);
    if (plan.regime == Regime::lanes) return address(&lanes_pack<Fold>);
  }
  return plan.regime == Regime::dense ? address(&dense_pack<Fold>) : nullptr;
}

template <class Fold>
cudaError_t launch_pack(const ReducePlan& plan, const Pack& pack, int count, cudaStream_t stream) {
  const void* const kernel = pack_kernel_for<Fold>(plan);
  if (kernel == nullptr) return cudaErrorInvalidDeviceFunction;
  void* arguments[] = {const_cast<ReducePlan*>(&plan), const_cast<Pack*>(&pack)};
  return cudaLaunchKernel(kernel, dim3(static_cast<unsigned>(plan.blocks), static_cast<unsigned>(count)),
                          dim3(static_cast<unsigned>(plan.threads)), arguments, 0, stream);
}

}  // namespace millrace::cuda
