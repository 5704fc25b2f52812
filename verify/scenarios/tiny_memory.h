// A device's memory that is addresses only, small enough to explore, and what arenas need besides.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "device/memory_range.h"
#include "memory/arena.h"
#include "memory/size_class.h"
#include "scenario.h"

namespace millrace::verify {

inline constexpr std::size_t kGranule = 4096, kUnit = 512;

/// One granule has eight blocks of one unit, or two of four.
inline Geometry tiny_geometry() {
  Geometry geometry;
  geometry.granule = kGranule;
  geometry.small_unit = kUnit;
  geometry.small_limit = 4 * kUnit;
  geometry.large_unit = kGranule;
  geometry.heap_bytes = 4 * kGranule;
  geometry.magazine_bytes = 4 * kUnit;
  geometry.magazine_blocks = 2;
  geometry.refill_bytes = 2 * kUnit;
  geometry.refill_blocks = 2;
  geometry.unsent_blocks = 1;
  geometry.bins_bytes = 2 * kUnit;
  geometry.spare_bytes = kGranule;
  geometry.peak_quantum = 0;
  geometry.address_bits = 20;
  geometry.cache_waits = 0;
  return geometry;
}

/// Counts what is committed, and holds it to the limit (M2).
///
/// Thread safety: as MemorySource.
class TinySource final : public MemorySource {
 public:
  /// step: how far from each other ranges are reserved, which may have been released before; 0: never twice.
  explicit TinySource(std::size_t limit, std::size_t step = 0) : limit_(limit), step_(step) {}

  std::size_t granule() const noexcept override { return kGranule; }
  Status reserve(std::size_t bytes, void** base) noexcept override {
    // relaxed: only uniqueness matters.
    *base = reinterpret_cast<void*>(next_.fetch_add(step_ == 0 ? bytes : step_, std::memory_order_relaxed));
    return {};
  }
  void release(void*, std::size_t) noexcept override {}
  Status commit(void*, std::size_t bytes) noexcept override {
    const sync::LockGuard lock(mutex_);
    committed_ += bytes;
    INTERLEAVE_EXPECT(committed_ <= limit_);
    return {};
  }
  std::span<std::byte> decommittable(void* address, std::size_t bytes) const noexcept override {
    return granules_within(address, bytes, kGranule);
  }
  void decommit(void*, std::size_t bytes) noexcept override {
    const sync::LockGuard lock(mutex_);
    INTERLEAVE_EXPECT(bytes <= committed_);
    committed_ -= bytes;
  }
  std::size_t committed() noexcept {
    const sync::LockGuard lock(mutex_);
    return committed_;
  }

 private:
  const std::size_t limit_, step_;
  sync::atomic<std::uintptr_t> next_{kGranule};
  sync::Mutex mutex_;
  std::size_t committed_ GUARDED_BY(mutex_) = 0;
};

struct TinyStreams final : ArenaHost {
  Timeline timelines[2];
  const Timeline& timeline(int slot) const noexcept override { return timelines[slot]; }
  bool reached(const TimelinePoint& point) noexcept override { return ended(point); }
  bool ended(const TimelinePoint& point) const noexcept override {
    return timelines[point.queue].completed() >= point.value;
  }
  void hide(const Block&) noexcept override {}
};

/// Arenas over one source, for blocks of one unit.
struct TinyMemory {
  explicit TinyMemory(std::size_t granules, const Geometry& used = tiny_geometry(), std::size_t step = 0)
      : geometry(used), source(granules * kGranule, step), limit(granules * kGranule) {}

  static BlockRequest small(std::size_t units = 1) {
    BlockRequest request;
    request.size_class = static_cast<std::uint8_t>(SizeClass::of(units));
    request.size = SizeClass::units(request.size_class) * kUnit;
    request.alignment = kUnit;
    return request;
  }
  static BlockRequest large() {
    BlockRequest request;
    request.size = request.alignment = kGranule;
    request.large = true;
    return request;
  }
  /// As a caller has it; the arena has room.
  static Block& live(Arena& arena, const BlockRequest& request) {
    Block* block = arena.take(request, false);
    if (block == nullptr) {
      INTERLEAVE_EXPECT(arena.grow(request).ok());
      block = arena.take(request, false);
    }
    INTERLEAVE_EXPECT(block != nullptr);
    make_live(*block);
    return *block;
  }
  static void make_live(Block& block) {
    // release: as ThreadCache::hand_out.
    block.word.store(BlockWord::make(BlockState::live, generation(block)), std::memory_order_release);
  }
  static std::uint64_t generation(const Block& block) {
    return BlockWord::generation(block.word.load(std::memory_order_relaxed));
  }
  static void give_remote(Arena& arena, Block& block) {
    BlockList one;
    one.push(&block);
    arena.give_remote(one);
  }
  const Geometry geometry;
  TinySource source;
  Limit limit;
  HeapSource heaps{source, limit};
  PageMap map{geometry};
  TinyStreams streams;
};

}  // namespace millrace::verify
