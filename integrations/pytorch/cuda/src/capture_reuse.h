// Memory that several streams of one capture use, for the same capture to use again.
#pragma once

#include <c10/cuda/CUDACachingAllocator.h>
#include <cuda_runtime_api.h>

#include <atomic>
#include <cstddef>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace millrace_torch {

/// torch's setting graph_capture_record_stream_reuse: what is freed inside of a capture after other streams of
/// it have used it serves that capture again as soon as its stream is ordered after those uses, and not only
/// once the capture has ended. Events can't tell that there, but the graph can: a free notes the last nodes of
/// each stream that used the block, and it is free when all of those come before whatever its own stream does
/// next. Nothing is added to the graph. The core knows nothing of such uses, to which the block is live until
/// then; who asks frees it.
///
/// Thread safety: all members from any thread at any time.
class CaptureReuse {
 public:
  static bool is_wanted() {
    return c10::cuda::CUDACachingAllocator::CUDAAllocatorConfig::graph_capture_record_stream_reuse();
  }
  /// Is there a block that it knows? One load.
  bool any() const noexcept {
    return count_.load(std::memory_order_acquire) != 0;  // acquire: pairs with the release in count
  }

  /// The block was allocated for the stream. Nothing where that is not being captured.
  void note(void* address, cudaStream_t stream);
  /// The stream uses it from here on. True if that is a use inside of the block's capture, which is known here now.
  bool record(void* address, cudaStream_t stream);
  /// True if it has such uses, and is kept until they are ordered. Else it is forgotten, and the caller's to
  /// free. Throws c10::Error for one that is kept already.
  bool free(void* address);
  /// Blocks that were freed and whose uses come before what the stream does next, for the caller to free.
  std::vector<void*> take_ordered(cudaStream_t stream);
  /// Of captures that have ended: what was freed, for the caller to free; the rest is forgotten.
  std::vector<void*> take_ended();

 private:
  struct Block {
    cudaStream_t stream = nullptr;
    unsigned long long capture = 0;
    std::vector<cudaStream_t> uses = {};       // by other streams
    bool freed = false;
    bool until_the_end = false;                // of a use nothing is known before the capture ends
    std::vector<cudaGraphNode_t> behind = {};  // once it is freed: the last nodes of all of its uses
  };
  void count();  // with the mutex held

  std::mutex mutex_;  // protects blocks_
  std::unordered_map<void*, Block> blocks_;
  std::atomic<std::size_t> count_{0};  // of blocks_
};

}  // namespace millrace_torch
