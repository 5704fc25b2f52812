// The memory of an arena for one kind of size: heaps that grow in place, split and merge.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "memory/block.h"
#include "memory/block_pool.h"
#include "memory/free_ranges.h"
#include "memory/geometry.h"
#include "memory/heap.h"
#include "memory/page_map.h"

namespace millrace {

/// Every byte of every heap belongs to exactly one block. Neighbours that are both free, or both
/// holes, are always merged. Where the device commits memory in parts, a heap is a large reservation that
/// grows in place; where it does not, each heap is as large as what was needed when it was made. So it is
/// where each block is to be a heap of its own (whole_blocks).
///
/// Invariants (docs/concurrency.md):
///   M3  The blocks of a heap, followed by right, tile it: each ends where the next begins.
///
/// Thread safety: guarded by the arena's mutex.
class Space {
 public:
  static constexpr std::uint64_t kAnyValue = ~std::uint64_t{0};

  Space(bool large, const Geometry& geometry, HeapSource& source, PageMap& map, BlockPool& pool,
        const SegmentOwner& owner, bool whole_blocks = false);
  ~Space();

  std::size_t unit() const noexcept { return unit_; }

  /// The smallest free range that fits, its rest left free; null if there is none. The block is in state
  /// moving. size is a multiple of unit(). Only ranges that no work beyond done may still use, for takers
  /// that this arena's stream does not order. Throws std::bad_alloc before anything has changed.
  Block* take(std::size_t size, std::size_t alignment, std::uint64_t done = kAnyValue);
  /// Takes exactly this range out of the free block that it is in. The block is in state moving. Reserve two.
  Block& take_range(Block& free, std::byte* address, std::size_t size) noexcept;
  /// Takes back a block, merged with what is free around it.
  void give(Block& block) noexcept;
  /// Commits memory so that take(size, alignment) succeeds. OutOfMemory at the limit or the device's. In a
  /// space for large blocks other free memory moves first, if work up to done no longer uses it, where too
  /// much would be wasted otherwise (docs/decisions/best-fit-for-everything.md).
  Growth grow(std::size_t size, std::size_t alignment, std::uint64_t done = 0);
  /// Gives back whole granules that are free and that work up to done no longer uses; bytes.
  std::size_t release_empty(std::uint64_t done) noexcept;

  /// Has it no heap?
  bool is_empty() const noexcept { return heaps_.empty(); }
  std::size_t largest_free() const noexcept { return free_.largest(); }
  /// The smallest free_value among free blocks that is beyond done and at most submitted; 0 if there is
  /// none.
  std::uint64_t next_free_value(std::uint64_t done, std::uint64_t submitted) const noexcept;

  /// From here on for_each_block goes by address, and so does a Walk, until a heap is added.
  void sort_heaps() noexcept;
  /// From block to block by address. Blocks may be split meanwhile.
  class Walk {
   public:
    explicit Walk(const Space& space) : space_(space) {}
    /// The block that the address is in, which is not before the last one.
    Block& to(const std::byte* address) noexcept {
      while (block_ == nullptr || address >= block_->data() + block_->size)
        block_ = block_ != nullptr ? block_->right : space_.heaps_[next_++]->first;
      return *block_;
    }

   private:
    const Space& space_;
    std::size_t next_ = 0;  // heap
    Block* block_ = nullptr;
  };
  template <typename Visit>
  void for_each_block(Visit&& visit) const {
    for (const auto& heap : heaps_) {
      for (Block* block = heap->first; block != nullptr; block = block->right) visit(*block);
    }
  }

 private:
  /// Is a heap as large as what was needed when it was made, or a reservation that grows in place?
  bool is_whole() const noexcept;
  /// A heap that is one hole.
  Status add_heap(std::size_t least, std::size_t wanted);
  /// The same, all of it committed.
  Growth add_whole_heap(std::size_t bytes);
  Growth grow_by_heap(std::size_t size, std::size_t alignment);
  Growth fill_hole(Block& hole, std::size_t bytes);
  /// What the limit has room for already.
  Status commit(Block& hole, std::size_t bytes);
  Growth no_room(std::size_t bytes) const;
  /// What an alignment may cost at the beginning of a heap.
  std::size_t padding_of_base(std::size_t alignment) const noexcept;
  /// Has it done nothing else of late?
  bool grows_steadily() const noexcept;
  /// need, or more if that is little for the space.
  std::size_t step(std::size_t need) const noexcept;
  /// Where a block can be: with the free end before the hole, and need more bytes of it committed. No hole:
  /// nowhere.
  struct Site {
    Block* hole = nullptr;
    std::size_t need = 0;
  };
  Site find_site(std::size_t size, std::size_t alignment) noexcept;
  /// Memory from somewhere else, for a request of this size: none where that is not worth it, or there is
  /// none. What no hole has room for is gone without having arrived. Throws std::bad_alloc before anything
  /// has moved.
  Moved move_to(const Site& site, std::size_t size, std::uint64_t done);
  /// The first bytes of a hole were committed, or part of a free block was decommitted. Reserve two blocks.
  void make_free(Block& hole, std::size_t bytes) noexcept;
  Block& make_hole(Block& block, std::span<std::byte> range) noexcept;
  /// Gives back the whole granules of a free block, the rest of which stays free. Returns the hole that they
  /// are part of now; null, and nothing has changed, where there are none.
  Block* decommit(Block& block, std::size_t& bytes) noexcept;
  std::size_t release_whole(std::uint64_t done) noexcept;
  void release_heap(std::size_t index) noexcept;
  /// On how many sides of the range, which is in the block, there is memory too.
  static int memory_beside(const Block& block, std::span<std::byte> range) noexcept;
  /// The range in the hole has become memory, or that in the free block is about to be none; before the
  /// blocks say so.
  void note_gain(SegmentLog::Room room, const Block& hole, std::span<std::byte> range) noexcept;
  void note_loss(SegmentLog::Room room, const Block& block, std::span<std::byte> range) noexcept;
  /// Splits off the first bytes of a block that is in no ranges; the rest is a new block to its right.
  Block& split(Block& block, std::size_t bytes) noexcept;
  /// Takes a block out of the ranges of its state; it is moving then.
  void remove(Block& block) noexcept;
  /// Adds a block to the ranges of its new state, merged with its neighbours there; returns what it
  /// has become part of.
  Block& insert(Block& block, BlockState state) noexcept;
  void absorb_right(Block& block) noexcept;
  FreeRanges& ranges(BlockState state) noexcept { return state == BlockState::free ? free_ : holes_; }

  const bool large_;
  const bool whole_blocks_;  // each block is all of a heap
  const std::size_t unit_;
  const Geometry& geometry_;
  HeapSource& source_;
  MemorySource& memory_;
  PageMap& map_;
  BlockPool& pool_;
  const SegmentOwner& owner_;
  FreeRanges free_;
  FreeRanges holes_;
  std::size_t committed_ = 0;
  int growths_ = 0;              // since a block came back
  std::size_t taken_ = 0;        // bytes taken and not given: what callers and caches have
  std::size_t most_taken_ = 0;   // the most that ever was
  std::uint64_t all_taken_ = 0;  // what they took, ever
  std::uint64_t moved_ = 0;      // bytes
  std::vector<std::unique_ptr<Heap>> heaps_;
};

}  // namespace millrace
