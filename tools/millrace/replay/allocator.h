// What a replay drives: Millrace, or an allocator to compare with.
#pragma once

#include <cstddef>
#include <cstdint>

namespace millrace::tool {

/// An allocator with streams, which are numbered from 0. Blocks that are live at its end go with it.
///
/// Thread safety: any thread calls allocate and release; a block's release comes after its allocation.
/// peak_committed while no other thread is in a call.
class ReplayAllocator {
 public:
  ReplayAllocator() = default;
  ReplayAllocator(const ReplayAllocator&) = delete;
  ReplayAllocator& operator=(const ReplayAllocator&) = delete;
  virtual ~ReplayAllocator() = default;

  /// Once by each thread, before its other calls.
  virtual void enter() {}
  /// Never null. Throws Error: OutOfMemory is counted and the replay goes on, any other ends it.
  virtual void* allocate(std::size_t stream, std::size_t bytes) = 0;
  /// stream: the one that the log frees on, not always that of the allocation. bytes: as allocated.
  virtual void release(std::size_t stream, void* address, std::size_t bytes) = 0;
  /// The most bytes that were taken from the device so far.
  virtual std::uint64_t peak_committed() const = 0;
};

}  // namespace millrace::tool
