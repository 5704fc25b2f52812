// torch's private pools: the memory of CUDA graphs, and torch.cuda.MemPool.
#pragma once

#include <c10/cuda/CUDACachingAllocator.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <utility>
#include <vector>

#include <millrace/device.h>
#include <millrace/memory_pool.h>

#include "capture_reuse.h"
#include "torch_segments.h"
#include "torch_streams.h"

namespace millrace_torch {

/// A device's pools by torch's numbers for them, and which streams' allocations go to which.
///
/// A pool has users in torch (captures, graphs, MemPools, use_mem_pool), and is one user's in the core for as
/// long as it has any. When the last one leaves, a launch of its graph may still run, on a stream that nobody
/// named here: so the core's user leaves later, in release_unused, which waits for the device.
///
/// Thread safety: all members from any thread at any time.
class Pools {
 public:
  using Filter = std::function<bool(cudaStream_t)>;

  Pools(c10::DeviceIndex index, millrace::Device& device, TorchStreams& streams)
      : index_(index), device_(device), streams_(streams) {}
  Pools(const Pools&) = delete;
  Pools& operator=(const Pools&) = delete;

  /// Does any allocation go to a pool just now? One load.
  bool any_begun() const noexcept {
    return begun_count_.load(std::memory_order_acquire) != 0;
  }  // acquire: as begin's
  /// Memory of the pool that allocations on the stream go to; null if they go to none. Throws as
  /// millrace::MemoryPool::allocate.
  void* allocate(std::size_t bytes, cudaStream_t stream, bool is_torchs);

  // What torch calls; all throw c10::Error for a pool that there is not.
  /// allocator: where the pool's memory comes from, said by the first user; null: the device.
  void add_user(c10::MempoolId_t id, TorchSegments::Allocator allocator = nullptr);
  void drop_user(c10::MempoolId_t id);
  int users(c10::MempoolId_t id);
  /// Allocations on streams that the filter takes go to the pool, the last begun first. One more user, who
  /// leaves by drop_user some time after end.
  void begin(c10::MempoolId_t id, Filter filter);
  void end(c10::MempoolId_t id);
  void set_use_on_oom(c10::MempoolId_t id, bool use);
  /// Before the first allocation.
  void set_no_split(c10::MempoolId_t id);

  /// All that the device does now is done; false, at once, while anything goes to a pool, since a capture
  /// that is underway forbids waiting for the device.
  bool wait_for_device();
  /// Lets go of the memory of pools that have no users any more, after wait_for_device. False if there was
  /// nothing, or it could not be waited for.
  bool release_unused();
  /// The core's; made if it is not yet.
  millrace::MemoryPool core_pool(c10::MempoolId_t id);
  CaptureReuse& capture_reuse() noexcept { return reuse_; }
  /// Has the pool of the core's number an allocator of its own?
  bool has_allocator(std::uint64_t number);
  /// torch's number of a pool of the core's; (0, 0) for none.
  c10::MempoolId_t id_of(std::uint64_t number);

 private:
  struct Pool {
    int users = 0;
    millrace::MemoryPoolOptions options;
    std::optional<millrace::MemoryPool> core;  // from the first allocation on
  };
  /// A pool of the core's that has memory, or may have.
  struct Known {
    c10::MempoolId_t id;
    bool has_allocator = false;
    millrace::MemoryPool core;
  };
  struct Begun {
    c10::MempoolId_t id;
    Filter filter;
    millrace::Stream captured;  // that torch was about to capture; none if it was not
  };

  static constexpr std::size_t kFewPools = 16;  // before anybody looks which of them are over

  /// Names the current stream, since one of others that is captured can't be named for the first time. If
  /// torch is about to capture it, as the filter tells, the core leaves it alone from here on, and it is
  /// returned.
  millrace::Stream before_capture(const Filter& filter);
  Pool& find(c10::MempoolId_t id);  // with the mutex held
  /// Before anybody is told of its memory.
  void know(c10::MempoolId_t id, bool has_allocator, const millrace::MemoryPool& core);

  void free_all(const std::vector<void*>& blocks);

  const c10::DeviceIndex index_;
  millrace::Device& device_;
  TorchStreams& streams_;
  CaptureReuse reuse_;
  std::atomic<std::size_t> begun_count_{0};
  std::shared_mutex begun_mutex_;  // protects begun_; held shared while filters are asked
  std::vector<Begun> begun_;
  std::mutex known_mutex_;  // protects what follows up to mutex_; taken while nothing of the core's is, and
                            // after no other
  std::map<std::uint64_t, Known> known_;   // by the core's number
  std::size_t look_again_at_ = kFewPools;  // when there are so many: which of them are over?
  std::mutex mutex_;  // protects what follows; taken after begun_mutex_, and never while the core may tell of
                      // segments
  std::map<c10::MempoolId_t, Pool> pools_;
  std::vector<millrace::MemoryPool> unused_;  // what torch has let go of
};

}  // namespace millrace_torch
