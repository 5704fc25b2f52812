// Memory of MemPools that bring an allocator of their own: NCCL's, symmetric memory's, a user's.
#pragma once

#include <c10/core/CachingDeviceAllocator.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <cuda_runtime_api.h>

#include <atomic>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace millrace_torch {

/// Blocks that another allocator gave, each kept as a whole for requests of its size on its stream until its
/// pool is released. The core knows nothing of them, so they are in no statistics; they are in snapshots of
/// their pool.
///
/// Thread safety: all members from any thread at any time.
class ForeignMemory {
 public:
  using Source = std::shared_ptr<c10::cuda::CUDACachingAllocator::CUDAAllocator>;

  /// Is there any? One load.
  bool any() const noexcept {
    return blocks_count_.load(std::memory_order_acquire) != 0;
  }  // acquire: as allocate's
  /// Throws what the source does.
  void* allocate(c10::MempoolId_t pool, const Source& source, std::size_t bytes, cudaStream_t stream);
  /// False if the address is none of these.
  bool free(void* address);
  bool record_stream(void* address, cudaStream_t stream);
  /// Gives back what is free in the pool, and the rest when it is freed. After all that uses it.
  void release(c10::MempoolId_t pool);
  /// A segment for each block of the pool; of all pools for (0, 0).
  void add_segments(c10::DeviceIndex device, c10::MempoolId_t pool,
                    std::vector<c10::CachingDeviceAllocator::SegmentInfo>& all) const;

 private:
  struct Block {
    c10::MempoolId_t pool;
    Source source;
    std::size_t bytes = 0;
    std::size_t requested = 0;
    cudaStream_t stream = nullptr;
    bool live = true;
    bool released = false;                     // goes back when it is freed
    std::vector<cudaStream_t> uses = {};       // of other streams, until it is freed
    std::vector<cudaEvent_t> unfinished = {};  // of a freed one: what it is not reused before
  };

  static std::size_t rounded(std::size_t bytes) noexcept;
  static bool is_done(Block& block);

  std::atomic<std::size_t> blocks_count_{0};
  mutable std::mutex mutex_;  // protects what follows; not held while a source is called
  std::unordered_map<void*, Block> blocks_;
};

}  // namespace millrace_torch
