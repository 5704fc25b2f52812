// torch's private pools: the memory of CUDA graphs, and torch.cuda.MemPool.
#pragma once

#include <c10/cuda/CUDACachingAllocator.h>

#include <atomic>
#include <cstddef>
#include <functional>
#include <mutex>
#include <vector>

#include <millrace/device.h>

#include "torch_streams.h"

namespace millrace_torch {

/// A device's pools by torch's numbers for them, and which streams' allocations go to which.
///
/// Thread safety: all members from any thread at any time.
class Pools {
 public:
  Pools(millrace::Device& device, TorchStreams& streams) : device_(device), streams_(streams) {}
  Pools(const Pools&) = delete;
  Pools& operator=(const Pools&) = delete;

  /// Does any allocation go to a pool just now? One load.
  bool any_begun() const noexcept { return begun_count_.load(std::memory_order_acquire) != 0; }
  /// Memory of the pool that allocations on the stream go to; null if they go to none.
  void* allocate(std::size_t bytes, cudaStream_t stream, bool is_torchs);
  /// Gives back what the pool has and nobody uses.
  void trim(c10::MempoolId_t pool);

 private:
  millrace::Device& device_;
  TorchStreams& streams_;
  std::atomic<std::size_t> begun_count_{0};
};

}  // namespace millrace_torch
