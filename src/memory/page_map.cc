#include "memory/page_map.h"

#include <bit>
#include <memory>
#include <new>
#include <utility>

namespace millrace {

PageMap::PageMap(const Geometry& geometry)
    : granule_shift_(std::countr_zero(geometry.granule)),
      granule_mask_(geometry.granule - 1),
      leaf_shift_((geometry.address_bits - granule_shift_) / 2),
      leaf_mask_((std::uintptr_t{1} << leaf_shift_) - 1),
      root_entries_(std::size_t{1} << (geometry.address_bits - granule_shift_ - leaf_shift_)),
      root_(std::make_unique<sync::atomic<Leaf*>[]>(root_entries_)) {}

PageMap::~PageMap() = default;

PageMap::OwnedGranule PageMap::make_granule(std::size_t units, int unit_shift) {
  void* const memory = ::operator new(sizeof(Granule) + units * sizeof(Entry));
  OwnedGranule granule(::new (memory) Granule(unit_shift, units));
  for (std::size_t unit = 0; unit < units; ++unit) ::new (&granule->entry(unit)) Entry(nullptr);
  return granule;
}

void PageMap::FreeGranule::operator()(Granule* granule) const noexcept {
  for (std::size_t unit = 0; unit < granule->units; ++unit) std::destroy_at(&granule->entry(unit));
  std::destroy_at(granule);
  ::operator delete(granule);
}

void PageMap::add_granules(std::uintptr_t base, std::size_t bytes, std::size_t unit) {
  const int unit_shift = std::countr_zero(unit);
  const std::size_t granule_bytes = std::size_t{1} << granule_shift_;
  // An address that the tree has no place for: as if there were no memory for it.
  if ((base + bytes - 1) >> granule_shift_ >> leaf_shift_ >= root_entries_) throw std::bad_alloc();
  sync::LockGuard lock(adding_);
  for (std::uintptr_t address = base; address < base + bytes; address += granule_bytes) {
    const std::uintptr_t number = address >> granule_shift_;
    sync::atomic<Leaf*>& root_entry = root_[number >> leaf_shift_];
    // relaxed: written under this mutex only.
    Leaf* leaf = root_entry.load(std::memory_order_relaxed);
    if (leaf == nullptr) {
      leaf = leaves_.emplace_back(std::make_unique<Leaf[]>(leaf_mask_ + 1)).get();
      // release: pairs with the acquire in find_granule.
      root_entry.store(leaf, std::memory_order_release);
    }
    sync::atomic<Granule*>& entry = leaf[number & leaf_mask_];
    if (entry.load(std::memory_order_relaxed) != nullptr) continue;
    Granule*& spare = spare_[static_cast<std::size_t>(unit_shift)];
    Granule* granule = spare;
    if (granule != nullptr) {
      spare = granule->next_spare;
    } else {
      granule = granules_.emplace_back(make_granule(granule_bytes >> unit_shift, unit_shift)).get();
    }
    // release: pairs with the acquire in find_granule.
    entry.store(granule, std::memory_order_release);
  }
}

void PageMap::remove_granules(std::uintptr_t base, std::size_t bytes) noexcept {
  sync::LockGuard lock(adding_);
  for (std::uintptr_t address = base; address < base + bytes; address += granule_mask_ + 1) {
    const std::uintptr_t number = address >> granule_shift_;
    if (number >> leaf_shift_ >= root_entries_) return;  // nothing was added there
    // relaxed: written under this mutex only.
    Leaf* leaf = root_[number >> leaf_shift_].load(std::memory_order_relaxed);
    if (leaf == nullptr) continue;
    sync::atomic<Granule*>& entry = leaf[number & leaf_mask_];
    Granule* granule = entry.load(std::memory_order_relaxed);
    if (granule == nullptr) continue;
    // relaxed: takes something away; its entries lead to blocks that say themselves what they are.
    entry.store(nullptr, std::memory_order_relaxed);
    granule->next_spare = std::exchange(spare_[static_cast<std::size_t>(granule->unit_shift)], granule);
  }
}

void PageMap::set_block(Block& block) noexcept {
  const auto address = reinterpret_cast<std::uintptr_t>(block.data());
  Granule* granule = find_granule(address);
  // release: pairs with the acquire in find_containing, which then sees that the word has changed (M6).
  block.extent.store(block.size, std::memory_order_release);
  // release: pairs with the acquires in find and find_containing.
  granule->entry((address & granule_mask_) >> granule->unit_shift).store(&block, std::memory_order_release);
  const std::uintptr_t step = granule_mask_ + 1;
  for (std::uintptr_t next = (address & ~granule_mask_) + step; next < address + block.size; next += step) {
    find_granule(next)->spanning.store(&block, std::memory_order_release);
  }
}

Block* PageMap::find_containing(std::uintptr_t address) const noexcept {
  const Granule* granule = find_granule(address);
  if (granule == nullptr) return nullptr;
  const auto contains = [&](const Block* block) {
    // acquire: pairs with the release that made it live; the range of a live block does not change.
    const std::uint64_t word = block->word.load(std::memory_order_acquire);
    if (BlockWord::state(word) != BlockState::live) return false;
    // acquire: so that the word is read again after both, and pairs with the releases in set_block and in
    // Space: whoever reads what a recycled descriptor is now reads another generation, too (M6). One that was
    // not recycled had this range all along.
    const std::uintptr_t start = block->address.load(std::memory_order_acquire);
    const std::size_t extent = block->extent.load(std::memory_order_acquire);
    if (block->word.load(std::memory_order_relaxed) != word) return false;
    return start <= address && address - start < extent;
  };
  for (std::uintptr_t unit = (address & granule_mask_) >> granule->unit_shift;; --unit) {
    // acquire: pairs with the release in set_block.
    Block* block = granule->entry(unit).load(std::memory_order_acquire);
    if (block != nullptr && contains(block)) return block;
    if (unit == 0) break;
  }
  Block* block = granule->spanning.load(std::memory_order_acquire);
  return block != nullptr && contains(block) ? block : nullptr;
}

}  // namespace millrace
