// The one place where reductions get to a stream.
#pragma once

#include <cuda_runtime_api.h>

#include <span>

#include "backends/cuda/reduce/pack.h"
#include "backends/cuda/reduce/plan.h"

namespace millrace::cuda {

/// Queues the reductions on a stream of the current CUDA context: those of the items, which have that plan
/// and are independent of each other. The plan's own tensors are the first one's. More than one only where it
/// is packable, and at most kMostPackItems.
using ReductionLauncher = cudaError_t (*)(const ReducePlan& plan, std::span<const PackItem> items,
                                          cudaStream_t stream);

/// By kernels.
///
/// Thread safety: any thread; the stream's order is the order of the calls.
cudaError_t launch_items(const ReducePlan& plan, std::span<const PackItem> items, cudaStream_t stream);

/// Tests that play the device put another one in place of the kernels, before anything is launched; null: the
/// kernels again.
void replace_launcher(ReductionLauncher stand_in) noexcept;

}  // namespace millrace::cuda
