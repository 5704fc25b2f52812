// What a device's memory consists of, block by block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <millrace/memory_kind.h>

namespace millrace {

/// How a device's memory grows (DeviceOptions::segments).
enum class SegmentGrowth : std::uint8_t {
  in_place,  ///< large reservations get memory where it is needed, if the device can
  /// Segments that stay as they are: as large as what was needed, or a quarter of what there is.
  whole,
  /// The same, of 2 MiB for blocks up to 1 MiB, of 20 MiB for blocks below 10 MiB, and else as large as the
  /// block, in steps of 2 MiB: for programs that reckon with what CUDACachingAllocator takes. Blocks above 1
  /// MiB are multiples of 512 bytes rather than of 64 KiB, for 32 KiB of the host's memory a 2 MiB of the
  /// device's.
  fixed,
};

/// Whose a block is. Its bytes count as the figure of MemoryStats of that name.
enum class MemoryState : std::uint8_t {
  live,     ///< a caller's
  cached,   ///< free, in a thread's cache, or freed by a thread of another stream that will hand it back
  pending,  ///< freed, other streams' work may still use it; pinned: any work
  free,     ///< for whatever is allocated next on the stream; of MemoryStats::committed what is left
};

/// A range that is allocated and freed as a whole, or free memory that adjoins.
struct MemoryBlock {
  const void* address = nullptr;
  std::size_t bytes = 0;  ///< of an allocation what was asked for, rounded up
  MemoryState state = MemoryState::free;
  std::uint64_t thread = 0;   ///< live: the library's number of the thread that allocated it; else 0
  std::size_t requested = 0;  ///< live: what was asked for (restored by MemoryPool::restore: bytes); else 0
};

/// Memory that was taken from the device and lies in one piece: a heap, or a part of one that grows in place.
struct MemorySegment {
  const void* address = nullptr;
  std::size_t bytes = 0;
  MemoryKind kind = MemoryKind::device;
  int stream = -1;         ///< for which it was taken (Stream::id)
  bool graph = false;      ///< it belongs to a capture of that stream, or to its graph
  bool large = false;      ///< it has the large blocks, or else the small ones
  std::uint64_t pool = 0;  ///< MemoryPool::number of the pool that it belongs to; 0: none
  std::vector<MemoryBlock>
      blocks;  ///< by address; each ends where the next begins, the last with the segment
};

}  // namespace millrace
