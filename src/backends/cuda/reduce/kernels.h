// The kernels of each family of operations, as the host calls them.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

#include "backends/cuda/reduce/pack.h"
#include "backends/cuda/reduce/plan.h"

namespace millrace::cuda {

/// The kernels for one operation on one element type.
struct ReduceKernels {
  std::size_t accumulator_bytes;  ///< of what a block leaves of an output where that is split
  /// Queues one. accumulators: device memory for one of each split of each output of each tile; tickets: a
  /// word for each tile, in the regime whole a slot for each block; 0 before and after. Both unused
  /// where there is one split.
  cudaError_t (*launch)(const ReducePlan& plan, void* accumulators, unsigned* tickets, cudaStream_t stream);
  /// Queues several of one plan, of which that has the first one's tensors. Null where no plan is packable.
  cudaError_t (*launch_pack)(const ReducePlan& plan, const Pack& pack, int count, cudaStream_t stream);
};

ReduceKernels kernels_for(const ReducePlan& plan) noexcept;
/// What the blocks of splits leave; a multiple of 8.
std::size_t accumulator_bytes(const ReducePlan& plan, const ReduceKernels& kernels) noexcept;

ReduceKernels sum_kernels(ReduceOp op, DType dtype) noexcept;  ///< sum, mean
ReduceKernels norm_kernels(DType dtype) noexcept;
ReduceKernels prod_kernels(DType dtype) noexcept;
ReduceKernels extreme_kernels(ReduceOp op, DType dtype) noexcept;   ///< min, max
ReduceKernels logic_kernels(ReduceOp op, DType dtype) noexcept;     ///< any, all, counts
ReduceKernels position_kernels(ReduceOp op, DType dtype) noexcept;  ///< argmin, argmax
ReduceKernels moments_kernels(DType dtype) noexcept;                ///< var, std
ReduceKernels statistics_kernels(DType dtype) noexcept;

}  // namespace millrace::cuda
