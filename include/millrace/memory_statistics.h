// The figures of a device's memory in full: what PyTorch's memory_stats asks for.
#pragma once

#include <cstddef>
#include <cstdint>

namespace millrace {

/// One figure, in bytes or as a count.
struct MemoryFigure {
  std::uint64_t current = 0;
  std::uint64_t peak = 0;       ///< of current, since the device was opened or Device::reset_peaks
  std::uint64_t allocated = 0;  ///< all that was ever added; these two only grow
  std::uint64_t freed = 0;
};

/// A figure of all memory, and of the two kinds of size: requests up to 1 MiB, and beyond.
struct MemoryFigures {
  MemoryFigure all, small, large;
};

/// Of one kind of memory, pools and graphs included. Current figures are exact at quiet points, and never
/// negative. Peaks of segments are exact. The others are while one thread allocates and frees; where several
/// do, those of bytes are within MemoryStats::peak_error in either direction, and those of counts within as
/// many blocks of 512 bytes. What is free in pieces is counted when it is asked for: its peak is its current
/// figure, and it has no totals.
struct MemoryStatistics {
  MemoryFigures allocations;      ///< blocks that callers hold
  MemoryFigures allocated_bytes;  ///< in them, rounded up as MemoryBlock::bytes is
  MemoryFigures requested_bytes;  ///< as they were asked for; peak is that of allocated_bytes, allocated as
                                  ///< well, but for what Device::note_requested said
  MemoryFigures active;           ///< blocks that callers hold, and those freed that work may still use
  MemoryFigures active_bytes;
  MemoryFigures segments;  ///< ranges of memory that lie in one piece, as Device::memory_segments lists them
  MemoryFigures segment_bytes;   ///< taken from the device
  MemoryFigures inactive_split;  ///< free ranges of segments that have other blocks too
  MemoryFigures inactive_split_bytes;
  std::uint64_t device_allocations = 0;  ///< ranges taken from the device so far; gained, to a MemoryObserver
  std::uint64_t device_frees = 0;        ///< ranges given back; lost
  std::uint64_t retries = 0;  ///< allocations so far that had to look beyond what was free and the device had
  std::uint64_t out_of_memory = 0;  ///< errors given out
};

}  // namespace millrace
