// Heaps: reservations of address space, tiled by blocks that are free, in use or holes.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "device/backend.h"
#include "device/status.h"
#include "memory/block.h"
#include "memory/limit.h"
#include "memory/segment_figures.h"
#include "memory/segment_log.h"

namespace millrace {

struct Heap {
  std::byte* base = nullptr;
  std::size_t bytes = 0;
  Block* first = nullptr;  ///< the block at base; the others follow by Block::right
};

/// How growing went.
struct Growth {
  Status status;
  bool at_limit = false;  ///< it was our own limit that left no room, and not the device
  bool ok() const noexcept { return status.ok(); }
};

/// Whose the segments of a space are.
struct SegmentOwner {
  int slot = -1;
  bool fixed = false;                   ///< its memory stays where it is, for somebody may know its addresses
  MemorySource* memory = nullptr;       ///< where it is from; null: the device's
  sync::atomic<std::uint64_t> pool{0};  ///< MemoryPool::number; 0: none's
};

/// What spaces need of the device, and what they tell the accounting.
struct HeapSource {
  MemorySource& memory;
  Limit& limit;
  MemoryKind kind = MemoryKind::device;
  sync::atomic<std::uint64_t> created{0};  ///< heaps
  sync::atomic<std::uint64_t> released{0};
  SegmentFigures figures{};
  SegmentLog log{};
};

}  // namespace millrace
