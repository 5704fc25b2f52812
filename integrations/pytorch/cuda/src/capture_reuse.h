// Memory that several streams of one capture use, for the same capture to use again.
#pragma once

#include <c10/core/CachingDeviceAllocator.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <cuda_runtime_api.h>

#include <atomic>
#include <cstddef>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace millrace_torch {

/// torch's setting graph_capture_record_stream_reuse: what is freed inside of a capture after other streams of the
/// capture have used it serves that capture again as soon as its stream is ordered after those uses, and not
/// only once the capture has ended. Events can't tell that there, but the graph can: a free puts an empty node behind each
/// use, and the block is free when all of those nodes come before whatever the stream does next. The core
/// knows nothing of such uses; who asks frees the block.
///
/// Thread safety: all members from any thread at any time; a capture's streams by one thread at a time, as CUDA has it.
class CaptureReuse {
 public:
  static bool is_wanted() { return c10::cuda::CUDACachingAllocator::CUDAAllocatorConfig::graph_capture_record_stream_reuse(); }
  /// Is there a block that it knows? One load.
  bool any() const noexcept { return count_.load(std::memory_order_acquire) != 0; }  // acquire: as note's

  /// The pool's block was allocated for the stream, which may be captured.
  void note(c10::MempoolId_t pool, void* address, cudaStream_t stream);
  /// The stream uses it from here on. True if this is a use inside of a capture, which is known here now.
  bool record(void* address, cudaStream_t stream);
  /// True if it has such uses, and is kept until they are ordered. Else it is forgotten, and the caller's to free.
  bool free(void* address);
  /// The pool's blocks that were freed and whose uses come before what the stream does next, for the caller to free.
  std::vector<void*> take_ordered(c10::MempoolId_t pool, cudaStream_t stream);
  /// The capture that used the pool has ended: all that were freed, for the caller to free; the others are forgotten.
  std::vector<void*> end(c10::MempoolId_t pool);

 private:
  struct Block {
    c10::MempoolId_t pool;
    cudaStream_t stream;
    std::vector<cudaStream_t> uses;       // by other streams
    std::vector<cudaGraphNode_t> behind;  // once it is freed: nodes after all of its uses
  };

  std::mutex mutex_;
  std::unordered_map<void*, Block> blocks_;  // guarded by mutex_
  std::atomic<std::size_t> count_{0};        // of blocks_
};

}  // namespace millrace_torch
