// Descriptors for blocks, recycled and never freed before their arena.
#pragma once

#include <memory>
#include <vector>

#include "memory/block.h"
#include "memory/geometry.h"

namespace millrace {

/// Thread safety: guarded by the arena's mutex.
class BlockPool {
 public:
  explicit BlockPool(Arena& arena, MemoryKind kind = MemoryKind::device,
                     int at_a_time = Geometry().descriptors)
      : arena_(&arena), kind_(kind), at_a_time_(static_cast<std::size_t>(at_a_time)) {}

  /// Makes sure that the next count calls of take do not allocate. Throws std::bad_alloc.
  void reserve(int count) {
    while (available_ < count) {
      slabs_.push_back(std::make_unique<Block[]>(at_a_time_));
      for (std::size_t i = at_a_time_; i-- > 0;) {
        slabs_.back()[i].arena = arena_;
        slabs_.back()[i].kind = kind_;
        link(slabs_.back()[i]);
      }
    }
  }
  /// After reserve.
  Block& take() noexcept {
    Block* block = free_;
    free_ = block->next;
    --available_;
    block->next = nullptr;
    return *block;
  }
  /// The next life of a descriptor has another generation, whoever remembers this one (M6).
  void put(Block& block) noexcept {
    const std::uint64_t generation = BlockWord::generation(block.word.load(std::memory_order_relaxed));
    // relaxed: whoever still looks at the descriptor only compares the word.
    block.word.store(BlockWord::make(BlockState::unused, generation + 1), std::memory_order_relaxed);
    block.address.store(0, std::memory_order_relaxed);
    link(block);
  }

 private:
  void link(Block& block) noexcept {
    block.next = free_;
    free_ = &block;
    ++available_;
  }

  Arena* const arena_;
  const MemoryKind kind_;
  const std::size_t at_a_time_;
  Block* free_ = nullptr;
  int available_ = 0;
  std::vector<std::unique_ptr<Block[]>> slabs_;
};

}  // namespace millrace
