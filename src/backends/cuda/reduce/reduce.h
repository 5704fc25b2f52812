// Reductions on a CUDA device.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

#include "device/operation.h"
#include "device/status.h"

namespace millrace::cuda {

/// Bytes of device memory that the work needs besides its tensors; 0 for most.
///
/// Thread safety: any thread.
std::size_t reduce_scratch_bytes(const ReduceWork& work) noexcept;

/// Queues the work on the stream of the current CUDA context, and does not wait. How it is cut depends on the
/// work alone: the same input gives the same bits.
///
/// scratch: reduce_scratch_bytes of device memory, aligned to 16 bytes, the stream's alone until the work is
/// done. tickets: kMostSplitTiles words of device memory that are 0 and no other stream's, and are 0 again
/// when the work is done; null: there are none, and the stream sets some to 0 first, which takes it a
/// microsecond or two. WorkFailed where CUDA refuses a launch; then nothing of the result is promised.
///
/// Thread safety: any thread; the stream's order is the order of the calls.
Status launch_reduce(const ReduceWork& work, void* scratch, unsigned* tickets, cudaStream_t stream);

/// What has become of that many of them which shared a launch that CUDA refused.
Status launch_failure(const ReduceWork& work, std::size_t count, cudaError_t error);

}  // namespace millrace::cuda
