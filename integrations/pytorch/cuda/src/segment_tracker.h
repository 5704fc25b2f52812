// torch's history and trackers hear of segments.
#pragma once

#include <c10/core/Device.h>

#include <millrace/memory_observer.h>

namespace millrace_torch {

class DeviceMemory;
class Observers;

/// What a device tells of its segments, as torch's segment_map and segment_unmap.
///
/// Thread safety: as millrace::MemoryObserver.
class SegmentTracker final : public millrace::MemoryObserver {
 public:
  SegmentTracker(DeviceMemory& memory, Observers& observers) : memory_(memory), observers_(observers) {}
  void on_segment(const millrace::SegmentChange& change) noexcept override;
  /// Of that the call that fails tells torch, with the caller's stack.
  void on_out_of_memory(const millrace::OutOfMemoryReport&) noexcept override {}

 private:
  DeviceMemory& memory_;
  Observers& observers_;
};

}  // namespace millrace_torch
