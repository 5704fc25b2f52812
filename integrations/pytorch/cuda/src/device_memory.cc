#include "device_memory.h"

#include <c10/cuda/CUDACachingAllocator.h>

#include <chrono>
#include <memory>
#include <string>

#include "segment_tracker.h"

namespace millrace_torch {
namespace {

/// Others registered with torch what they can free (tensors that other processes have let go of).
bool free_by_callbacks() {
  bool freed = false;
  for (const std::string& name : c10::FreeCudaMemoryCallbacksRegistry()->Keys())
    freed |= c10::FreeCudaMemoryCallbacksRegistry()->Create(name)->Execute();
  return freed;
}

}  // namespace

millrace::DeviceOptions DeviceMemory::device_options(const CudaOptions& options) {
  millrace::DeviceOptions device;
  device.memory_limit = options.memory_limit;
  // Nothing at all is a limit that a device is not opened with.
  device.memory_fraction = options.memory_fraction == 0 ? 1 : options.memory_fraction;
  device.thread_cache_bytes = options.thread_cache_bytes;
  device.all_caches_bytes = options.all_caches_bytes;
  device.exact_peaks = options.exact_peaks;
  device.segments = segments_;
  device.out_of_memory_wait = std::chrono::milliseconds(options.out_of_memory_wait_ms);
  device.on_out_of_memory = [this](std::size_t) { return pools_.release_unused() || free_by_callbacks(); };
  device.wrapped_streams = options.streams;
  // torch makes the streams, and runs what it has to run.
  device.streams = 1;
  device.high_priority_streams = 0;
  device.captures = 0;
  device.workers = 1;
  return device;
}

DeviceMemory::DeviceMemory(c10::DeviceIndex index, const CudaOptions& options, Observers& observers)
    : index_(index),
      segments_(options.native_geometry ? millrace::SegmentGrowth::fixed
                : options.expandable    ? millrace::SegmentGrowth::in_place
                                        : millrace::SegmentGrowth::whole),
      device_(millrace::Device::open("cuda:" + std::to_string(index), device_options(options))),
      streams_(device_),
      pools_(index_, device_, streams_),
      fraction_(options.memory_fraction) {
  if (options.memory_fraction == 0) device_.set_memory_limit(0);
  device_.add_memory_observer(std::make_shared<SegmentTracker>(*this, observers));
}

std::size_t DeviceMemory::size_of(const void* address) noexcept {
  try {
    return device_.size_of(address);
  } catch (const millrace::Error&) {
    return 0;  // a MemPool's that has an allocator of its own
  }
}

millrace::MemoryStatistics DeviceMemory::stats_base() {
  const std::lock_guard lock(mutex_);
  return stats_base_;
}

void DeviceMemory::begin_counting_anew() {
  const millrace::MemoryStatistics now = device_.memory_statistics();
  const std::lock_guard lock(mutex_);
  stats_base_ = now;
}

}  // namespace millrace_torch
