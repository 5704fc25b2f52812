// One CUDA device's memory, as torch uses it.
#pragma once

#include <c10/core/Device.h>
#include <cuda_runtime_api.h>

#include <atomic>
#include <cstdint>
#include <mutex>

#include <millrace/device.h>

#include "millrace_torch/cuda.h"
#include "pools.h"
#include "torch_streams.h"

namespace millrace_torch {

class Observers;

/// A Millrace device that torch's CUDA device of the same number is opened as, for the life of the process.
///
/// Thread safety: all members from any thread at any time.
class DeviceMemory {
 public:
  /// Throws millrace::Error where the device can't be opened.
  DeviceMemory(c10::DeviceIndex index, const CudaOptions& options, Observers& observers);
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  c10::DeviceIndex index() const noexcept { return index_; }
  millrace::Device& device() noexcept { return device_; }
  TorchStreams& streams() noexcept { return streams_; }
  Pools& pools() noexcept { return pools_; }
  /// Do segments grow in place?
  bool expands() const noexcept { return segments_ == millrace::SegmentGrowth::in_place; }
  /// The same of those of one of the core's pools; 0: of none's.
  bool expands(std::uint64_t pool) { return expands() && !pools_.has_allocator(pool); }

  /// What the live block at the address has, in bytes; 0 where it is none of the device's own.
  std::size_t size_of(const void* address) noexcept;
  /// The part of the device's memory that torch said it may take.
  double fraction() const noexcept { return fraction_.load(std::memory_order_relaxed); }  // relaxed: a figure
  void set_fraction(double fraction) noexcept { fraction_.store(fraction, std::memory_order_relaxed); }

  /// What had been counted when torch last began to count anew; the core's totals only grow.
  millrace::MemoryStatistics stats_base();
  void begin_counting_anew();

 private:
  millrace::DeviceOptions device_options(const CudaOptions& options);

  const c10::DeviceIndex index_;
  const millrace::SegmentGrowth segments_;
  millrace::Device device_;
  TorchStreams streams_;
  Pools pools_;
  std::atomic<double> fraction_;
  std::mutex mutex_;  // protects what follows
  millrace::MemoryStatistics stats_base_;
};

}  // namespace millrace_torch
