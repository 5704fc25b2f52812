// The sizes that the memory layer is built from; small ones make small scenarios for the checker.
#pragma once

#include <cstddef>

#include <millrace/memory_segment.h>

namespace millrace {

inline constexpr std::size_t kKiB = 1024, kMiB = 1024 * kKiB, kGiB = 1024 * kMiB;

/// Sizes are powers of two but for heap_bytes.
struct Geometry {
  std::size_t granule = 2 * kMiB;      ///< the device's unit of commit
  std::size_t small_unit = 512;        ///< small blocks are multiples of it; the alignment of all blocks
  std::size_t small_limit = kMiB;      ///< larger blocks do not go through thread caches
  std::size_t large_unit = 64 * kKiB;  ///< large blocks are multiples of it
  std::size_t heap_bytes = 64 * kGiB;  ///< address space reserved at once; a multiple of granule
  SegmentGrowth growth = SegmentGrowth::in_place;
  std::size_t magazine_bytes = 4 * kMiB;  ///< one class in one thread cache keeps at most this
  int magazine_blocks = 64;               ///< and at most so many, but at least two
  std::size_t refill_bytes = 512 * kKiB;  ///< what one refill takes at most, but at least one block
  int refill_blocks = 16;
  int descriptors = 64;                 ///< of blocks, made at a time
  int unsent_blocks = 32;               ///< blocks of one other arena that a thread collects
  std::size_t bins_bytes = 32 * kMiB;   ///< free small blocks that an arena keeps unmerged
  std::size_t spare_bytes = 64 * kMiB;  ///< what a space for large blocks may have beyond what was ever taken
  std::size_t peak_quantum = 8 * kMiB;  ///< what a thread may leave unpublished of its live bytes
  int address_bits = 47;
  int cache_waits =
      100;  ///< how often one who is out of memory waits for a thread to be through with its cache
};

constexpr std::size_t round_up(std::size_t value, std::size_t unit) noexcept {
  return (value + unit - 1) / unit * unit;
}
constexpr std::size_t round_down(std::size_t value, std::size_t unit) noexcept {
  return value / unit * unit;
}

}  // namespace millrace
