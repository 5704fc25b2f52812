// What one thread keeps of free blocks: the fast path of allocate and free.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "device/context.h"
#include "memory/arena.h"
#include "memory/block.h"
#include "memory/counters.h"
#include "memory/geometry.h"
#include "memory/peak.h"
#include "memory/size_class.h"

namespace millrace {

/// The bytes that all thread caches may hold together, handed to them in portions.
///
/// Thread safety: all members from any thread.
class CacheBudget {
 public:
  explicit CacheBudget(std::size_t bytes) : left_(bytes) {}
  [[nodiscard]] bool try_take(std::size_t bytes) noexcept;
  void give_back(std::size_t bytes) noexcept;

 private:
  sync::atomic<std::size_t> left_;
};

/// The free blocks of one arena in one thread, by size class, the last freed first. On cache lines of its
/// own.
struct alignas(sync::kInterference) ArenaCache {
  struct Magazine {
    Block* first = nullptr;
    int count = 0;
  };
  /// Blocks that recorded work names which was not submitted when they were freed. Two operations that follow
  /// each other are done at once only where they write to different memory, and whoever allocates, records
  /// and frees over and over would get the block that was freed last each time. So these wait until that work
  /// was submitted, or there are many of them. It is a preference: nobody relies on who gets which block.
  struct Parked {
    Block* first = nullptr;
    Block* last = nullptr;
    int count = 0;
    std::uint64_t value = 0;  ///< all that names them was submitted once that is
  };
  explicit ArenaCache(Arena& a) : arena(&a), timeline(&a.timeline()), slot(a.slot()) {}
  Arena* arena;
  const Timeline* timeline;  ///< the arena's, as is slot: here they are a step nearer
  int slot;
  std::uint64_t submitted = 0;  ///< what the timeline's was when it was last asked
  std::array<Magazine, SizeClass::kCount> magazines{};
  std::array<Parked, SizeClass::kCount> parked{};
};

/// A context's part of the memory layer: magazines of the arenas it allocates from, blocks that it
/// freed for other arenas and has not handed over yet, its counters.
///
/// Invariants (docs/concurrency.md):
///   T1  What a cache holds is at most its portion of the budget, and is given back by flush.
///   T2  A block is in one cache at most, and only its holder takes it out.
///
/// Thread safety: by the context's holder; counters and cached_bytes are read by any thread.
class ThreadCache final : public ContextPart {
 public:
  /// What the caches of a device share.
  struct Shared {
    const Geometry& geometry;
    CacheBudget& budget;
    std::size_t thread_bytes;  ///< a cache's largest portion
    Peaks& peaks;
    sync::Mutex& totals_mutex;
    Totals& retired_totals;  ///< of contexts that are gone; guarded by totals_mutex
    bool parks = false;      ///< the device joins operations (ArenaCache::Parked)
  };

  ThreadCache(const Shared& shared, std::uint64_t thread);

  /// The cache of an arena, made if there is none. Another arena's is flushed when there are too many.
  ArenaCache& of(Arena& arena) {
    if (current_ != nullptr && current_->arena == &arena) [[likely]]
      return *current_;
    return select(arena);
  }
  /// Of the arena that the thread allocated from last; null at first.
  ArenaCache* current() noexcept { return current_; }
  /// Null if this thread does not allocate from the arena.
  ArenaCache* find(const Arena* arena) noexcept;

  /// A block of the class, in state live; null when the magazine has none but parked ones.
  Block* pop(ArenaCache& cache, std::uint8_t size_class) noexcept {
    ArenaCache::Magazine& magazine = cache.magazines[size_class];
    Block* block = magazine.first;
    if (block == nullptr) [[unlikely]] {
      if (!may_unpark(cache, size_class)) return nullptr;
      unpark(cache, size_class);
      block = magazine.first;
    }
    magazine.first = block->next;
    --magazine.count;
    cached_.subtract(block->size);
    hand_out_small(*block);
    return block;
  }
  /// Takes a block in state cached. Gives back half of the magazine when it is full.
  void push(ArenaCache& cache, Block& block) {
    ArenaCache::Magazine& magazine = cache.magazines[block.size_class];
    if (magazine.count >= magazine_limit_[block.size_class] || !has_room(block.size)) [[unlikely]] {
      make_room(cache, block);
      return;
    }
    cached_.add(block.size);
    // relaxed: it may miss what another thread records just now.
    if (block.own_use.load(std::memory_order_relaxed) > cache.submitted) [[unlikely]] {
      if (shared_.parks && park(cache, block)) return;
    }
    block.next = magazine.first;
    magazine.first = &block;
    ++magazine.count;
  }
  /// Takes blocks that a refill brought, but keeps no more than fits.
  void fill(ArenaCache& cache, BlockList blocks);
  /// A freed small block of an arena that this thread does not allocate from.
  void send(Block& block);

  /// Makes the block the caller's: live, counted.
  void hand_out(Block& block) noexcept {
    if (!block.large) return hand_out_small(block);
    const std::size_t bytes = make_live(block);
    counters_.on_allocate_large(bytes);
    peak_share_.on_allocate_large(shared_.peaks, bytes);
  }
  /// A small block.
  void count_free(std::size_t bytes) noexcept {
    counters_.on_free(bytes);
    peak_share_.on_free(shared_.peaks, bytes);
  }
  /// Of any size. used: work still uses it.
  void count_free(std::size_t bytes, bool large, bool used) noexcept {
    counters_.on_free(bytes);
    if (large) counters_.on_free_large(bytes);
    peak_share_.on_free(shared_.peaks, bytes, large, used);
  }

  /// So many bytes more of a block were not asked for, modulo 2^64.
  void count_unasked(std::uint64_t bytes, bool large) noexcept {
    sync::add_single_writer(large ? large_unasked_ : small_unasked_, bytes);
  }
  void add_unasked_to(Totals& totals) const noexcept {
    // relaxed: a statistic.
    totals.small_unasked += small_unasked_.load(std::memory_order_relaxed);
    totals.large_unasked += large_unasked_.load(std::memory_order_relaxed);
  }

  /// Gives every cached and unsent block back to its arena.
  void flush() noexcept;
  /// The same of one arena's cached blocks. The cache has to be filled again, and once a program does the
  /// same over and over it is cheaper to grow once: so it may be done ever more rarely, and a few times in a
  /// row where it was not needed for long. False if nothing was given back.
  [[nodiscard]] bool flush_before_growth(const Arena& arena) noexcept;
  void publish_peak() noexcept { peak_share_.publish(shared_.peaks); }
  void retire() noexcept override { flush(); }
  void fold() noexcept override;

  const Counters& counters() const noexcept { return counters_; }
  std::size_t cached_bytes() const noexcept { return cached_.value() + unsent_bytes_.value(); }

 private:
  static constexpr int kArenas = 4;

  struct Unsent {
    Arena* arena = nullptr;
    BlockList blocks;
  };

  /// Of how many bytes. From the store of its word a pool's block may be freed by a restore (N3).
  std::size_t make_live(Block& block) noexcept {
    const std::size_t bytes = block.size;
    block.thread.store(static_cast<std::uint32_t>(thread_),
                       std::memory_order_relaxed);  // relaxed: for reports
    // release: pairs with the acquire of who looks at the block without having been given it.
    block.word.store(
        BlockWord::make(BlockState::live, BlockWord::generation(block.word.load(std::memory_order_relaxed))),
        std::memory_order_release);
    counters_.on_allocate(bytes);
    return bytes;
  }
  void hand_out_small(Block& block) noexcept { peak_share_.on_allocate(shared_.peaks, make_live(block)); }
  bool has_room(std::size_t bytes) noexcept {
    return cached_.value() + bytes <= portion_ || grow_portion(bytes);
  }
  bool grow_portion(std::size_t bytes) noexcept;
  ArenaCache& select(Arena& arena);
  void make_room(ArenaCache& cache, Block& block);
  /// False if what names it was submitted by now, or there are many.
  [[nodiscard]] static bool park(ArenaCache& cache, Block& block) noexcept;
  static bool may_unpark(const ArenaCache& cache, std::uint8_t size_class) noexcept;
  static void unpark(ArenaCache& cache, std::uint8_t size_class) noexcept;
  /// False if there was nothing in it.
  bool flush(ArenaCache& cache) noexcept;
  void send_all(Unsent& unsent) noexcept;

  const Shared shared_;
  const std::uint64_t thread_;
  ArenaCache* current_ = nullptr;
  std::size_t portion_ = 0;
  ByteGauge cached_;
  ByteGauge unsent_bytes_;
  PeakShare peak_share_;
  std::array<int, SizeClass::kCount> magazine_limit_;
  std::array<std::unique_ptr<ArenaCache>, kArenas> caches_;
  int next_victim_ = 0;
  int flushes_ = 0;               // before growth: that were earned and not used
  std::uint64_t next_flush_ = 0;  // the next is earned after so many allocations
  std::array<Unsent, kArenas> unsent_;
  sync::atomic<std::uint64_t> small_unasked_{0}, large_unasked_{0};
  Counters counters_;
};

}  // namespace millrace
