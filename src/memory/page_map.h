// From an address to the block it belongs to, without a lock.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "memory/block.h"
#include "memory/geometry.h"
#include "sync/atomic.h"
#include "sync/mutex.h"

namespace millrace {

/// A radix tree of two levels over granules; below it, for each granule that was ever committed, the
/// block that starts at each unit of it.
///
/// Entries are written when a block is made and never erased: one that is out of date leads to a
/// descriptor whose address or state says so.
///
/// Invariants (docs/concurrency.md):
///   P1  A look-up of the address of a live block finds it, if the address reached the caller through
///       anything that orders memory.
///
/// Thread safety: find and find_containing from any thread at any time; add_granules
/// and remove_granules from any; set_block for ranges that the caller has.
class PageMap {
 public:
  explicit PageMap(const Geometry& geometry);
  ~PageMap();
  PageMap(const PageMap&) = delete;
  PageMap& operator=(const PageMap&) = delete;

  /// The block whose entry is at exactly this address; null if there is none. It may be out of date.
  Block* find(std::uintptr_t address) const noexcept {
    const Granule* granule = find_granule(address);
    if (granule == nullptr) return nullptr;
    // acquire: pairs with the release in set_block (P1, for those who pass addresses on relaxed).
    return granule->entry((address & granule_mask_) >> granule->unit_shift).load(std::memory_order_acquire);
  }
  /// The live block that contains the address; null if there is none.
  Block* find_containing(std::uintptr_t address) const noexcept;

  /// Room for entries of blocks in the range, in whole granules. Throws std::bad_alloc.
  void add_granules(std::uintptr_t base, std::size_t bytes, std::size_t unit);
  /// The range is no heap's any more.
  void remove_granules(std::uintptr_t base, std::size_t bytes) noexcept;
  /// Is the address in a range that was added and not removed?
  bool covers(std::uintptr_t address) const noexcept { return find_granule(address) != nullptr; }
  void set_block(Block& block) noexcept;

 private:
  using Entry = sync::atomic<Block*>;

  /// With an entry for each unit right behind it, so that a look-up is one load shorter.
  struct alignas(Entry) Granule {
    Granule(int shift, std::size_t count) : unit_shift(shift), units(count) {}
    Entry& entry(std::size_t unit) noexcept { return reinterpret_cast<Entry*>(this + 1)[unit]; }
    const Entry& entry(std::size_t unit) const noexcept {
      return reinterpret_cast<const Entry*>(this + 1)[unit];
    }
    const int unit_shift;
    const std::size_t units;
    Granule* next_spare = nullptr;
    Entry spanning{nullptr};  ///< the block that reaches into the granule from the left
  };
  struct FreeGranule {
    void operator()(Granule* granule) const noexcept;
  };
  static constexpr std::size_t kUnitShifts = 64;
  using OwnedGranule = std::unique_ptr<Granule, FreeGranule>;
  static OwnedGranule make_granule(std::size_t units, int unit_shift);
  using Leaf = sync::atomic<Granule*>;  // the first of an array

  Granule* find_granule(std::uintptr_t address) const noexcept {
    const std::uintptr_t number = address >> granule_shift_;
    const std::uintptr_t top = number >> leaf_shift_;
    if (top >= root_entries_) return nullptr;
    // acquire: pairs with the release in add_granules, twice.
    const Leaf* leaf = root_[top].load(std::memory_order_acquire);
    if (leaf == nullptr) return nullptr;
    return leaf[number & leaf_mask_].load(std::memory_order_acquire);
  }

  const int granule_shift_;
  const std::uintptr_t granule_mask_;
  const int leaf_shift_;
  const std::uintptr_t leaf_mask_;
  const std::size_t root_entries_;
  std::unique_ptr<sync::atomic<Leaf*>[]> root_;

  sync::Mutex adding_;  // one writer of the tree at a time
  std::vector<std::unique_ptr<Leaf[]>> leaves_ GUARDED_BY(adding_);
  std::vector<OwnedGranule> granules_ GUARDED_BY(adding_);
  // The removed ones, by the size of their units; readers may still look at them until they serve again.
  std::array<Granule*, kUnitShifts> spare_ GUARDED_BY(adding_){};
};

}  // namespace millrace
