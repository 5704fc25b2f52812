// The caching allocator of a device: what allocate and free mean.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <millrace/device.h>
#include <millrace/error.h>
#include <millrace/memory_kind.h>
#include <millrace/memory_pool.h>

#include "device/core.h"
#include "device/use_checker.h"
#include "memory/arena.h"
#include "memory/geometry.h"
#include "memory/graph_memory.h"
#include "memory/heap.h"
#include "memory/limit.h"
#include "memory/page_map.h"
#include "memory/peak.h"
#include "memory/pool.h"
#include "memory/thread_cache.h"
#include "stream/pool.h"

namespace millrace {

/// One arena a stream, a cache a thread, one limit: of one kind of memory. A device has an allocator for each
/// kind. They share the page map, since an address alone says which kind of memory it is of; whatever is done
/// to an allocation may be asked of any of them.
///
/// Invariants (docs/concurrency.md):
///   M1  At quiet points committed = live + cached + unsent + remote + pending + free, re-added from
///       the heaps by check_accounting.
///   M6  Freeing raises a block's generation, so a second free or a late use of the old one is seen.
///   M7  A free needs no memory of the host's: whatever it has not, a live block is freed, by a thread that
///       has no context too.
///   M8  The blocks of a listing tile its segments, which are committed, and what its caller knows to be live
///       throughout is shown as live; at quiet points the sums are the figures of stats.
///   A4  Pinned memory is free only once all that was recorded on its stream before its free is done, since
///       the host may write to it the moment it is handed out again.
///   O1  Out of memory, nobody waits for another thread's context while holding a lock or their own.
///
/// Thread safety: all members from any thread; a context by its own thread.
class Allocator final : public Layer, public ArenaHost, public UseChecker {
 public:
  /// What tells one kind of memory from another.
  struct Kind {
    MemoryKind kind;
    MemorySource& memory;
    Geometry geometry;
    std::size_t limit;
  };

  Allocator(Core& core, const Kind& kind, std::shared_ptr<PageMap> map);
  ~Allocator() override;
  static Allocator& of(Core& core, MemoryKind kind = MemoryKind::device) noexcept {
    return static_cast<Allocator&>(core.layer(layer_of(kind)));
  }
  static LayerId layer_of(MemoryKind kind) noexcept {
    return kind == MemoryKind::device ? LayerId::memory : LayerId::pinned;
  }

  /// Memory that the stream of the slot may use at once; kCurrentSlot: the calling thread's. Throws
  /// OutOfMemoryError, InvalidArgument, Closed, and what taking a lease does.
  static constexpr int kCurrentSlot = -1;
  void* allocate(Context& context, int slot, std::size_t bytes, std::size_t alignment);
  /// Whether a free that breaks a rule throws, or is made safe: memory that work still uses stays
  /// pending.
  enum class OnMisuse : std::uint8_t { raise, forgive };
  void deallocate(Context& context, void* address, OnMisuse on_misuse);
  /// By a thread that has no context yet. It gets one, but where there is no memory for that it frees
  /// without: a free needs none. Throws Closed, ForkedProcess, where it makes one.
  static void deallocate_first(Core& core, void* address, OnMisuse on_misuse);
  /// What it falls back on: dearer, and with no context.
  void deallocate_without_context(void* address, OnMisuse on_misuse);

  /// What the live allocation at the address has, which is what was asked for or a little more.
  std::size_t size_of(const void* address, const char* call) const;
  /// So much was asked for of the live allocation at the address, by its owner.
  void note_requested(Context& context, const void* address, std::size_t bytes, const char* call);
  /// The slot of the stream that the live allocation at the address is for.
  int slot_of(const void* address, const char* call) const;
  /// slot's stream uses the allocation: up to now, or until the allocation is freed.
  void record_use(const void* address, int slot, bool until_free, const char* call);
  void make_discardable(void* address);
  bool make_resident(void* address);

  // Graphs (graph_memory.cc). The memory of a stream of a capture is the slot's until end_capture, and of no
  // other.
  /// Before begin_capture, which can't fail then. Throws std::bad_alloc.
  void reserve_capture(int slot);
  void begin_capture(int slot) noexcept;
  /// It is the graph's now, until drop_graph, and that of the capture's branches with it.
  GraphMemory& end_capture(int slot, std::span<const int> branches) noexcept;
  /// What was recorded in the stream uses it. Throws std::bad_alloc.
  void add_launch(GraphMemory& memory, int slot);
  /// The graph will be launched no more: its memory goes back once what was launched is done. graph is kept
  /// so long.
  void drop_graph(GraphMemory& memory, sync::Ref<DeviceGraph> graph) noexcept;

  // Private pools (pool.cc). What a MemoryPool names is looked up in the pool itself: no lock that pools
  // share.
  struct Pool {
    detail::PoolState* state = nullptr;
    std::uint64_t number = 0;
  };
  Pool create_pool(const MemoryPoolOptions& options);
  /// Throws InvalidArgument for one that is gone.
  void check_pool(const Pool& pool, const char* call) const;
  void* allocate_in(const Pool& pool, Context& context, int slot, std::size_t bytes, std::size_t alignment);
  void add_pool_user(const Pool& pool, const char* call);
  std::uint64_t drop_pool_user(const Pool& pool, const char* call);
  std::size_t trim_pool(const Pool& pool);
  std::vector<MemorySegment> pool_segments(const Pool& pool);
  PoolCheckpoint checkpoint_pool(const Pool& pool, const char* call);
  PoolRestored restore_pool(const Pool& pool, Context& context, const PoolCheckpoint& checkpoint,
                            const char* call);

  MemoryStats stats();
  MemoryStatistics statistics();
  void add_observer(std::shared_ptr<MemoryObserver> observer) {
    source_.log.add_observer(std::move(observer));
  }
  /// By address (M8).
  std::vector<MemorySegment> segments();
  std::size_t trim();
  void set_limit(std::size_t bytes);
  void reset_peaks();
  void check_accounting();

  std::unique_ptr<ContextPart> make_part(Context& context) override;
  void finish_close() noexcept override;

  const Timeline& timeline(int slot) const noexcept override { return streams_.timeline(slot); }
  bool reached(const TimelinePoint& point) noexcept override;
  bool ended(const TimelinePoint& point) const noexcept override {
    return timeline(point.queue).completed() >= point.value;
  }
  void hide(const Block& block) noexcept override;
  void on_unused(const Amount& small, const Amount& large) noexcept override {
    peaks_.on_unused(small, large);
  }
  void check(const Use& use, TimelinePoint at) override;

 private:
  static ThreadCache& cache_of(Context& context, MemoryKind kind) noexcept {
    return static_cast<ThreadCache&>(*context.part(layer_of(kind)));
  }
  ThreadCache& cache_of(Context& context) const noexcept { return cache_of(context, kind_); }
  /// The public call that allocates, for errors.
  const char* allocate_call() const noexcept {
    return kind_ == MemoryKind::device ? "Device::allocate" : "Device::allocate_pinned";
  }
  Arena& arena_of(int slot) {
    // acquire: pairs with the release in make_arena.
    Arena* const arena = arenas_[static_cast<std::size_t>(slot)].load(std::memory_order_acquire);
    return arena != nullptr ? *arena : make_arena(slot);
  }
  Arena& make_arena(int slot);
  BlockRequest request_for(std::size_t bytes, std::size_t alignment, const char* call) const;
  /// Where the block is, for who asked for so many of its bytes: which is noted.
  void* give_out(Block& block, std::size_t requested) noexcept;
  /// Makes the block live, for who asked for so many of its bytes. A pool's may be freed by a restore as soon
  /// as it is live (N3): nothing of it is looked at from there.
  void* hand_out(ThreadCache& cache, Block& block, std::size_t requested) noexcept;
  /// Can the block not be free at once, as a thread's own? covering, here and below, is what the arena's
  /// timeline had, read before the free.
  bool needs_arena(const Block& block, std::uint64_t word, std::uint64_t covering) const noexcept;
  /// Is the end of work on the block's own stream a part of the free, so that the arena keeps it until then?
  bool needs_own_use(const Block& block, std::uint64_t covering) const noexcept;
  /// False if the word has changed.
  bool try_free(ThreadCache* cache, Block& block, std::uint64_t word, std::uint64_t covering);
  /// The same of a block that needs its arena; to_cover: as Arena::free_used's.
  bool try_free_used(ThreadCache* cache, Block& block, std::uint64_t word, std::uint64_t covering,
                     OnMisuse on_misuse, CoverList& to_cover);
  /// What a plain free could not do at once. cache: null where the thread has none.
  void deallocate_slow(ThreadCache* cache, Block& block, std::uint64_t word, OnMisuse on_misuse,
                       CoverList& to_cover);
  void cover(const CoverList& list) noexcept;
  void count_free(ThreadCache* cache, MemoryKind kind, std::size_t bytes, bool large, bool used) noexcept;
  void unhide(const Block& block) noexcept;
  /// By another stream of the capture that the block's stream is of. Throws rule "use-after-free".
  void add_captured_use(Block& block, std::uint64_t word, int slot, const char* call);
  /// The live block that starts at the address, and its word. Throws InvalidArgument or rule "double-free".
  Block& live_block(const void* address, const char* call, std::uint64_t& word) const;
  /// Null where live_block throws.
  Block* find_live(const void* address, std::uint64_t& word) const noexcept;
  [[noreturn]] void throw_not_live(const void* address, const char* call) const;
  /// Sets or clears kDiscarded of the live block that word was read from; returns the word before. Throws
  /// rule "use-after-free".
  std::uint64_t change_mark(Block& block, std::uint64_t word, std::uint64_t discarded, const char* call);

  // slow.cc: what the fast path could not serve, and the out-of-memory procedure.
  /// Which arena an allocation is served by.
  struct Target {
    int slot = 0;
    detail::PoolState* pool = nullptr;  ///< null: the stream's own
  };
  Arena& arena_of(const Target& target);
  void* allocate_slow(Context& context, const Target& target, const BlockRequest& request);
  struct Obtained {
    Block* block = nullptr;  ///< not live yet
    Growth refusal{};        ///< where there is no block: why the arena has not grown
  };
  /// Throws where the device could not be asked for memory, or answered that it is more than out of it.
  Obtained obtain(ThreadCache& cache, Arena& arena, const BlockRequest& request);
  struct Reclaimed {
    void* memory = nullptr;
    Growth refusal{};                     ///< the last one
    bool skipped_a_cache = false;         ///< its thread was using it
    std::optional<TimelinePoint> next{};  ///< reaching it frees something
  };
  Reclaimed reclaim(Context& context, Arena& arena, const BlockRequest& request);
  /// Whether memory was obtained, or why not, for result.
  bool obtain_holding(Context& context, Arena& arena, const BlockRequest& request, bool flush_first,
                      Reclaimed& result);
  bool reuse_pending(Arena& arena, const BlockRequest& request);
  void* borrow(Context& context, Arena& borrower, const BlockRequest& request);
  /// False if one was in use and was skipped.
  bool flush_caches(const Context* except) noexcept;
  std::size_t release_empty() noexcept;
  /// What keeps memory from being given back that nobody would see the end of otherwise. No context is held.
  void settle_streams();
  /// Gives back the memory of graphs that nothing uses any more; a point whose reaching would do so with
  /// more.
  std::optional<TimelinePoint> release_graphs() noexcept;
  GraphMemory* find_graph_memory(int slot, GraphMemory::Stage stage) noexcept REQUIRES(graphs_mutex_);
  GraphMemory& end_captured_stream(int slot) noexcept REQUIRES(graphs_mutex_);
  // pool.cc
  detail::PoolState& used_pool(const Pool& pool, const char* call) const;
  void refuse_lender(const detail::PoolState& pool, const char* call) const;
  std::vector<ArenaRestore> restores_of(const Pool& pool, const PoolCheckpoint& checkpoint, const char* call);
  struct Released {
    std::size_t bytes = 0;
    std::optional<TimelinePoint> next{};  ///< reaching it would give back more
  };
  /// Gives back what is free in pools without users, of all of them or of one.
  Released release_pools(const detail::PoolState* only) noexcept EXCLUDES(pools_mutex_);
  void end_pool(detail::PoolState& pool) noexcept REQUIRES(pools_mutex_);
  /// Those of pools that are over; all, once nothing has memory of them any more. With no lock held.
  enum class Sources : std::uint8_t { ended, all };
  void drop_sources(Sources which) noexcept EXCLUDES(pools_mutex_);
  OutOfMemoryError out_of_memory_error(std::size_t bytes, int slot, const Growth& refusal, const char* call);

  // report.cc
  /// So that peaks are exact for who is alone; what other threads have not published is peak_error.
  void publish_own_peak() noexcept;
  Totals totals();
  std::size_t cached_bytes();
  OutOfMemoryReport report(std::size_t bytes, const Growth& refusal);
  /// Adds the arena's segments.
  void list(Arena& arena, std::vector<MemorySegment>& all);

  /// All but those of graphs and pools, whose memory is nobody else's.
  template <typename Visit>
  void for_each_arena(Visit&& visit) {
    for (unsigned slot = 0; slot < cached_slots_; ++slot) {
      // acquire: pairs with the release in arena_of.
      if (Arena* arena = arenas_[slot].load(std::memory_order_acquire)) visit(*arena);
    }
  }
  template <typename Visit>
  void for_each_graph_arena(Visit&& visit) EXCLUDES(graphs_mutex_) {
    sync::LockGuard lock(graphs_mutex_);
    for (const auto& graph : graphs_) visit(graph->arena);
  }
  template <typename Visit>
  void for_each_pool_arena(Visit&& visit) EXCLUDES(pools_mutex_) {
    sync::LockGuard lock(pools_mutex_);
    for (const auto& pool : pools_) pool->for_each_arena(visit);
  }
  /// Of pools that others may take from when there is no other memory.
  template <typename Visit>
  void for_each_lending_arena(Visit&& visit) EXCLUDES(pools_mutex_) {
    sync::LockGuard lock(pools_mutex_);
    for (const auto& pool : pools_) {
      if (pool->number() != 0 && pool->lends()) pool->for_each_arena(visit);
    }
  }

  Core& core_;
  StreamPool& streams_;
  const MemoryKind kind_;
  const Geometry geometry_;
  const int small_shift_;  // of the geometry's small_unit
  const bool protect_;
  const bool free_at_once_;  // but for blocks with marks, and on wrapped streams
  /// Tells at the end of a call what memory it has gained or lost, and lets go of pools' sources that are
  /// over; made before any lock or context is taken.
  class TellAtEnd {
   public:
    explicit TellAtEnd(Allocator& allocator) : allocator_(allocator) {}
    ~TellAtEnd() {
      allocator_.source_.log.tell();
      // relaxed: who has raised it is this thread, or drops them itself.
      if (allocator_.ended_sources_.load(std::memory_order_relaxed) != 0)
        allocator_.drop_sources(Sources::ended);
    }
    TellAtEnd(const TellAtEnd&) = delete;
    TellAtEnd& operator=(const TellAtEnd&) = delete;

   private:
    Allocator& allocator_;
  };

  Limit limit_;
  Peaks peaks_;
  CacheBudget budget_;
  HeapSource source_;
  const std::shared_ptr<PageMap> map_;
  sync::Mutex reclaiming_;  // one out-of-memory procedure at a time, so that none misses what another moves
  sync::Mutex totals_mutex_;
  Totals retired_totals_ GUARDED_BY(totals_mutex_);
  sync::atomic<std::uint64_t> out_of_memory_{0};
  sync::atomic<std::uint64_t> retries_{
      0};  // allocations that had to look beyond what was free and the device had
  sync::atomic<std::size_t> most_threads_{0};  // since the peaks were reset

  sync::Mutex graphs_mutex_;  // what becomes of the memory of graphs; taken before any arena's
  std::vector<std::unique_ptr<GraphMemory>> graphs_ GUARDED_BY(graphs_mutex_);

  sync::Mutex pools_mutex_;  // which pools there are, and the ends of those without users; before any arena's
  std::vector<std::unique_ptr<detail::PoolState>> pools_ GUARDED_BY(pools_mutex_);  // their arenas are owned_
  sync::atomic<int> ended_sources_{0};  // of pools that are gone; written under pools_mutex_

  const unsigned cached_slots_;  // those before have arenas of their own; the others are captures'
  sync::Mutex making_;           // makes arenas
  std::vector<std::unique_ptr<Arena>> owned_ GUARDED_BY(making_);
  std::vector<sync::atomic<Arena*>> arenas_;  // by slot; made when first asked for
};

}  // namespace millrace
