// What torch calls for CUDA memory once it is Millrace's: the 33 pure virtual functions of CUDAAllocator and
// its bases.
#pragma once

#include <c10/cuda/CUDACachingAllocator.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "device_memory.h"
#include "observers.h"

namespace millrace_torch {

namespace caching = c10::cuda::CUDACachingAllocator;
using c10::MempoolId_t;

/// torch's CUDA allocator. It is never destroyed: tensors of static variables are freed last of all.
///
/// Allocating and freeing take no lock of this class and write nothing that threads share; what the core
/// counts is not counted here again. A function for each feature, a file for each group of them.
///
/// Thread safety: all members from any thread at any time, but init and set_options, which come first.
class CudaAllocator final : public caching::CUDAAllocator {
 public:
  static CudaAllocator& get();
  /// Before torch uses CUDA.
  void set_options(const CudaOptions& options) { options_ = options; }
  const CudaOptions& options() const noexcept { return options_; }

  /// The device's memory; opened if it is not. Throws c10::Error.
  DeviceMemory& memory_of(c10::DeviceIndex index) {
    // acquire: pairs with the release in open.
    if (static_cast<std::size_t>(index) < devices_.size()) {
      if (DeviceMemory* const memory =
              devices_[static_cast<std::size_t>(index)].load(std::memory_order_acquire)) [[likely]] {
        return *memory;
      }
    }
    return open(index);
  }
  /// Null where nobody has allocated yet.
  DeviceMemory* find_memory(c10::DeviceIndex index) noexcept;
  template <typename Visit>
  void for_each_memory(Visit&& visit) {
    for (int index = 0; index < device_count(); ++index) {
      if (DeviceMemory* const memory = find_memory(static_cast<c10::DeviceIndex>(index))) visit(*memory);
    }
  }
  int device_count() const noexcept {
    return device_count_.load(std::memory_order_acquire);
  }  // acquire: as init's
  Observers& observers() noexcept { return observers_; }

  // allocate.cc
  c10::DataPtr allocate(std::size_t bytes) override;
  c10::DeleterFnPtr raw_deleter() const override;
  void copy_data(void* to, const void* from, std::size_t bytes) const override;
  void* raw_alloc(std::size_t bytes) override;
  void* raw_alloc_with_stream(std::size_t bytes, cudaStream_t stream) override;
  void raw_delete(void* address) override;
  void recordStream(const c10::DataPtr& pointer, c10::cuda::CUDAStream stream) override;
  void enable(bool value) override { caches_.store(value, std::memory_order_relaxed); }  // relaxed: a switch
  bool isEnabled() const override { return caches_.load(std::memory_order_relaxed); }

  // devices.cc
  void init(int device_count) override;
  bool initialized() override { return device_count() != 0; }
  std::string name() override { return "millrace"; }

  // limits.cc
  double getMemoryFraction(c10::DeviceIndex index) override;
  void setMemoryFraction(double fraction, c10::DeviceIndex index) override;
  void emptyCache(MempoolId_t pool) override;
  void cacheInfo(c10::DeviceIndex index, std::size_t* largest) override;

  // stats.cc
  c10::CachingDeviceAllocator::DeviceStats getDeviceStats(c10::DeviceIndex index) override;
  void resetAccumulatedStats(c10::DeviceIndex index) override;
  void resetPeakStats(c10::DeviceIndex index) override;
  std::vector<caching::StreamSegmentSize> getExpandableSegmentSizes(c10::DeviceIndex index) override;

  // snapshot.cc
  caching::SnapshotInfo snapshot(MempoolId_t pool, bool include_traces) override;
  void recordHistory(bool enabled, caching::CreateContextFn context_recorder, std::size_t most_entries,
                     caching::RecordContext when, bool clear,
                     const std::vector<std::string>& skipped) override;
  bool isHistoryEnabled() override { return observers_.history().is_on(); }
  void recordAnnotation(const std::vector<std::pair<std::string, std::string>>& metadata) override;
  void pushCompileContext(std::string& text) override { History::push_compile_context(text); }
  void popCompileContext() override { History::pop_compile_context(); }
  void setUserMetadata(const std::string& text) override { History::set_user_metadata(text); }
  std::string getUserMetadata() override { return History::user_metadata(); }
  void attachOutOfMemoryObserver(caching::OutOfMemoryObserver observer) override;
  void attachAllocatorTraceTracker(caching::AllocatorTraceTracker tracker) override;

  // pools.cc
  void beginAllocateToPool(c10::DeviceIndex index, MempoolId_t pool,
                           std::function<bool(cudaStream_t)> filter) override;
  void endAllocateToPool(c10::DeviceIndex index, MempoolId_t pool) override;
  void releasePool(c10::DeviceIndex index, MempoolId_t pool) override;
  int getPoolUseCount(c10::DeviceIndex index, MempoolId_t pool) override;
  void createOrIncrefPool(c10::DeviceIndex index, MempoolId_t pool,
                          std::shared_ptr<caching::CUDAAllocator> allocator) override;
  void setUseOnOOM(c10::DeviceIndex index, MempoolId_t pool, bool use_on_oom) override;
  void setNoSplit(c10::DeviceIndex index, MempoolId_t pool) override;

  // checkpoint.cc
  bool checkPoolLiveAllocations(c10::DeviceIndex index, MempoolId_t pool,
                                const std::unordered_set<void*>& expected) override;
  std::shared_ptr<caching::AllocatorState> getCheckpointState(c10::DeviceIndex index,
                                                              MempoolId_t pool) override;
  caching::CheckpointDelta setCheckpointPoolState(c10::DeviceIndex index,
                                                  std::shared_ptr<caching::AllocatorState> state) override;

  // sharing.cc
  void* getBaseAllocation(void* address, std::size_t* bytes) override;
  caching::ShareableHandle shareIpcHandle(void* address) override;
  std::shared_ptr<void> getIpcDevPtr(std::string handle) override;
  void enablePeerAccess(c10::DeviceIndex index, c10::DeviceIndex reached) override;
  cudaError_t memcpyAsync(void* to, int to_device, const void* from, int from_device, std::size_t bytes,
                          cudaStream_t stream, bool p2p_enabled) override;

 private:
  CudaAllocator() = default;
  DeviceMemory& open(c10::DeviceIndex index);
  /// The memory that the address is of; null where it is none of ours, or the driver has ended.
  DeviceMemory* find_memory_at(const void* address) noexcept;
  /// The same. Throws c10::Error where it is none of ours.
  DeviceMemory& memory_at(const void* address);
  void* obtain(c10::DeviceIndex index, std::size_t bytes, c10::cuda::CUDAStream stream);
  void* obtain_on(DeviceMemory& memory, std::size_t bytes, cudaStream_t handle, bool is_torchs);
  void free(void* address);
  /// What raw_alloc gives while nothing is cached: the driver's own, which no figures count. Throws
  /// c10::Error, std::bad_alloc.
  void* raw_uncached(std::size_t bytes);
  /// False for one that is not of those, or was taken already.
  bool take_uncached(void* address);
  static void delete_cached(void* address);
  bool caches() const noexcept;

  static constexpr std::size_t kMostDevices = 64;

  CudaOptions options_;
  std::atomic<int> device_count_{0};
  std::atomic<int> opened_count_{0};
  std::atomic<DeviceMemory*> only_{nullptr};  // the memory that was opened, while that is one
  std::atomic<bool> caches_{true};
  std::array<std::atomic<DeviceMemory*>, kMostDevices> devices_{};
  std::mutex opening_;  // one at a time
  Observers observers_;
  std::atomic<std::size_t> uncached_count_{0};  // what follows, counted
  std::mutex uncached_mutex_;                   // protects what follows
  std::unordered_set<void*> uncached_;          // what raw_uncached has given and nobody has freed
};

}  // namespace millrace_torch
