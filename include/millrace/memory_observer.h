// Who is told of what becomes of a device's memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include <millrace/error.h>
#include <millrace/export.h>
#include <millrace/memory_kind.h>

namespace millrace {

/// A range of memory that was taken from the device, or given back.
struct SegmentChange {
  enum class Kind : std::uint8_t {
    gained,  ///< usable from here on
    lost,    ///< no longer there
  };
  Kind kind = Kind::gained;
  const void* address = nullptr;
  std::size_t bytes = 0;  ///< whole granules of the device
  MemoryKind memory = MemoryKind::device;
  int stream = -1;         ///< for which it was taken (Stream::id)
  std::uint64_t pool = 0;  ///< MemoryPool::number; 0: none's
};

/// Is told of each range that a device gains and loses, and each time that it is out of memory.
///
/// Thread safety: called by any thread, by one at a time, with no lock held.
class MILLRACE_API MemoryObserver {
 public:
  virtual ~MemoryObserver() = default;
  /// Once a change, in the order in which they happened. The call that caused a change tells of it before it
  /// returns; where another thread is telling already, that one does, right after.
  /// MUST NOT: throw; close the device; wait for another thread that allocates or frees on it. MAY: ask the
  /// device, allocate and free; changes that this causes are told after it has returned. Not told: what
  /// Device::close gives back.
  virtual void on_segment(const SegmentChange& change) noexcept = 0;
  /// Before the call that found no memory throws OutOfMemoryError; the report is that error's. May be called
  /// by several threads at once. MUST NOT throw; MAY do all else.
  virtual void on_out_of_memory(const OutOfMemoryReport& report) noexcept = 0;
};

}  // namespace millrace
