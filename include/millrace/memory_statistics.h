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

/// Of one kind of memory, pools and graphs included. All current figures are exact at quiet points. Peaks are
/// exact while calls are made by one thread at a time and that is the same thread; where n threads allocate,
/// those of `allocations` and `allocated_bytes` are within n times MemoryStats::peak_error's share in either
/// direction.
struct MemoryStatistics {
  MemoryFigures allocations;      ///< blocks that callers hold
  MemoryFigures allocated_bytes;  ///< in them, rounded up as MemoryBlock::bytes is
  MemoryFigures active;           ///< blocks that callers hold, and those freed that work may still use
  MemoryFigures active_bytes;
  MemoryFigures segments;  ///< ranges of memory that lie in one piece, as Device::memory_segments lists them
  MemoryFigures segment_bytes;  ///< taken from the device
  MemoryFigures
      inactive_split;  ///< free ranges in segments that have blocks which are not; peak is current's
  MemoryFigures inactive_split_bytes;
  std::uint64_t device_allocations = 0;  ///< ranges taken from the device so far; gained, to a MemoryObserver
  std::uint64_t device_frees = 0;        ///< ranges given back; lost
  std::uint64_t retries = 0;  ///< allocations so far that had to look beyond what was free and the device had
  std::uint64_t out_of_memory = 0;  ///< errors given out
};

}  // namespace millrace
