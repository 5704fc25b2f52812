// Heaps: reservations of address space, tiled by blocks that are free, in use or holes.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "device/backend.h"
#include "memory/block.h"
#include "memory/limit.h"

namespace millrace {

struct Heap {
  std::byte* base = nullptr;
  std::size_t bytes = 0;
  Block* first = nullptr;  ///< the block at base; the others follow by Block::right
};

/// What spaces need of the device, and what they tell the accounting.
struct HeapSource {
  Backend& backend;
  Limit& limit;
  sync::atomic<std::uint64_t> created{0};  ///< heaps
  sync::atomic<std::uint64_t> released{0};
};

}  // namespace millrace
