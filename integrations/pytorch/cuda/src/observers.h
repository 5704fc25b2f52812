// Who is told what happens to torch's CUDA memory: its history, trackers, profilers.
#pragma once

#include <c10/cuda/CUDACachingAllocator.h>

#include <atomic>
#include <cstddef>
#include <mutex>
#include <vector>

#include "device_memory.h"
#include "history.h"

namespace millrace_torch {

/// While nobody looks, an allocation or a free asks any() and no more.
///
/// Trackers and observers for out of memory are called in the order in which they came. A tracker is called
/// while the history's mutex is held, as torch's contract has it: it takes no lock that an allocator's caller
/// may hold.
///
/// Thread safety: all members from any thread at any time.
class Observers {
 public:
  bool any() const noexcept { return history_.is_watching(); }
  History& history() noexcept { return history_; }
  const History& history() const noexcept { return history_; }

  void on_allocate(DeviceMemory& memory, void* address, std::size_t requested, cudaStream_t stream);
  /// Before it is free: later it may be somebody else's.
  void on_free(DeviceMemory& memory, void* address);
  /// A block that became free with the state of its pool.
  void on_restored_free(DeviceMemory& memory, void* address);
  /// Calls the observers, with no lock held. device_free: what the device says of itself, bytes.
  void on_out_of_memory(DeviceMemory& memory, std::size_t requested, cudaStream_t stream, std::size_t limit,
                        std::size_t device_free);
  void attach(c10::cuda::CUDACachingAllocator::OutOfMemoryObserver observer);

 private:
  History history_;
  std::mutex mutex_;  // protects what follows
  std::vector<c10::cuda::CUDACachingAllocator::OutOfMemoryObserver> out_of_memory_;
};

/// To torch's memory profiler, of the calling thread: a block that came (sign 1) or goes (-1).
void report_to_profiler(DeviceMemory& memory, void* address, int sign);
/// To torch's sanitizer, where one listens.
void trace_allocation(void* address);
void trace_deallocation(void* address);

}  // namespace millrace_torch
