// The memory of one stream: where thread caches are refilled from and return to.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "memory/block.h"
#include "memory/block_pool.h"
#include "memory/counters.h"
#include "memory/cover_list.h"
#include "memory/geometry.h"
#include "memory/heap.h"
#include "memory/page_map.h"
#include "memory/peak.h"
#include "memory/restore.h"
#include "memory/size_class.h"
#include "memory/space.h"
#include "stream/timeline.h"
#include "sync/mpsc_list.h"
#include "sync/mutex.h"

namespace millrace {

/// What an arena needs of the layers around it.
class ArenaHost {
 public:
  virtual const Timeline& timeline(int slot) const noexcept = 0;
  /// Has the point been reached? Tells the backend that the host knows, so that what comes later is ordered.
  virtual bool reached(const TimelinePoint& point) noexcept = 0;
  /// The same, and nobody is told.
  virtual bool ended(const TimelinePoint& point) const noexcept = 0;
  /// Protect mode: nobody may touch a freed range until it is handed out again.
  virtual void hide(const Block& block) noexcept = 0;
  /// Blocks that were pending are no longer.
  virtual void on_unused(const Amount& /*small*/, const Amount& /*large*/) noexcept {}

 protected:
  ~ArenaHost() = default;
};

/// A request, rounded to what the spaces deal in.
struct BlockRequest {
  std::size_t size = 0;
  std::size_t alignment = 0;
  std::size_t requested = 0;    ///< bytes that were asked for
  std::uint8_t size_class = 0;  ///< small ones
  bool large = false;
};

/// What a block was that has been freed.
struct FreedBlock {
  std::size_t size = 0;
  bool large = false;
  bool pending = false;  ///< it is still used
};

/// Whose allocations an arena serves.
enum class ArenaUse : std::uint8_t {
  stream,       ///< those of a stream that name nothing else; threads cache its small blocks
  graph,        ///< those inside of a capture of the stream (A3)
  pool,         ///< those of a stream that name a pool (N1)
  whole_blocks  ///< a pool's, each block a heap of its own
};

/// Heaps for small and for large blocks; bins of small blocks ready for the next refill;
/// blocks freed elsewhere; blocks that other streams may still use.
///
/// Invariants (docs/concurrency.md):
///   A1  A block is handed out again only when everything that used it is ordered before: the arena's
///       own stream by its order, others once their uses were reached or this stream waits for them.
///   A2  A block freed elsewhere is taken in exactly once, and before the arena grows.
///   A5  A checked use, which its free covers with nothing but what the program has its stream wait for,
///       is no obstacle to handing the block out again on that stream, and nobody is told of its end: so
///       the backend sees who uses the memory next without being ordered after it. The memory is not
///       hidden, lent or given back before that end.
///
/// Thread safety: all members from any thread. Calls the device under its mutex only to commit and to
/// give back memory; takes no other arena's mutex.
class Arena {
 public:
  /// memory: where its segments come from; null: where the source says.
  Arena(int slot, ArenaUse use, const Geometry& geometry, HeapSource& source, PageMap& map, ArenaHost& host,
        MemorySource* memory = nullptr);

  int slot() const noexcept { return slot_; }
  /// No thread caches its blocks, so that it can be emptied as a whole.
  bool is_direct() const noexcept { return use_ != ArenaUse::stream; }
  /// What it has counts as used for as long as there is the graph.
  bool is_captured() const noexcept { return use_ == ArenaUse::graph; }
  bool is_pooled() const noexcept { return use_ == ArenaUse::pool || use_ == ArenaUse::whole_blocks; }
  const Timeline& timeline() const noexcept { return timeline_; }

  /// Blocks of the class for a thread's cache, in state cached: at least one, unless there is none
  /// without growing. Throws std::bad_alloc.
  void refill(const BlockRequest& request, int count, BlockList& out) EXCLUDES(mutex_);
  /// One block in state moving; null if there is none without growing. With idle_only set, one that a
  /// stream which this arena does not order may use at once.
  Block* take(const BlockRequest& request, bool idle_only) EXCLUDES(mutex_);
  Growth grow(const BlockRequest& request) EXCLUDES(mutex_);

  /// Takes back blocks that the arena's own stream orders, and only that.
  void give(BlockList blocks) EXCLUDES(mutex_);
  void give(Block& block) EXCLUDES(mutex_);
  /// The same for threads that have no business with the arena: no lock.
  void give_remote(BlockList blocks) noexcept;

  /// A use of a live block by another stream; false when the block is not that of the generation.
  bool add_use(Block& block, std::uint64_t generation, const BlockUse& use) EXCLUDES(mutex_);
  /// A free of a block with uses, or that waits for its own stream: false when another free was first. Needs
  /// no memory, but for the error of Uncovered::refuse. to_cover: what the caller has to have covered.
  /// freed: what the block was.
  bool free_used(Block& block, std::uint64_t generation, Uncovered uncovered, OwnEnd own,
                 CoverList* to_cover = nullptr, FreedBlock* freed = nullptr) EXCLUDES(mutex_);
  /// Takes in pending blocks whose uses have been reached; true if there was one.
  bool collect_pending() EXCLUDES(mutex_);
  /// The best of the pending blocks that would serve the request and whose uses were all submitted, of equal
  /// ones the first that was freed; it is the caller's, in state moving, until given or put back.
  Block* claim_pending(const BlockRequest& request) EXCLUDES(mutex_);
  void put_back_pending(Block& block) EXCLUDES(mutex_);
  /// A pending block of the size that is asked for, whose uses are all checked; it keeps them, for its next
  /// free (A5). In state moving; null if there is none.
  Block* take_checked(const BlockRequest& request) EXCLUDES(mutex_);

  /// Gives back whole granules that nothing uses; bytes.
  std::size_t release_empty() EXCLUDES(mutex_);
  /// The same of an arena whose own stream uses nothing any more, whatever it has recorded. False if some of
  /// it is still somebody's.
  [[nodiscard]] bool release_all() EXCLUDES(mutex_);
  /// Makes the live blocks those of restore.wanted, and fills in what that has changed; proceed is called
  /// once it is known to work, and before anything has changed: what it throws keeps everything as it is.
  /// protect: a free waits for the stream's own work. Throws InvalidArgument, rule "pool-in-use",
  /// std::bad_alloc.
  template <typename Proceed>
  void restore(ArenaRestore& restore, bool protect, Proceed&& proceed) EXCLUDES(mutex_) {
    sync::LockGuard lock(mutex_);
    claim_for(restore, protect);
    try {
      proceed();
    } catch (...) {
      restore.give_up();
      throw;
    }
    carry_out(restore);
  }
  /// MemoryPool::number; 0: none's.
  std::uint64_t pool() const noexcept { return owner_.pool.load(std::memory_order_relaxed); }  // for reports
  void set_pool(std::uint64_t number) noexcept { owner_.pool.store(number, std::memory_order_relaxed); }
  /// Has it no memory?
  bool is_empty() EXCLUDES(mutex_);
  /// A point whose reaching frees something here, for the out-of-memory procedure to wait for.
  std::optional<TimelinePoint> next_to_finish() EXCLUDES(mutex_);

  /// Rule "purgeable-in-use" for uses of a live block that were not reached.
  bool in_use(const Block& block) EXCLUDES(mutex_);

  std::size_t pending_bytes() const noexcept { return pending_bytes_.value(); }
  std::size_t largest_free() EXCLUDES(mutex_);
  /// Calls visit(const Block&) for every block, holes too, with the mutex held.
  template <typename Visit>
  void for_each_block(Visit&& visit) EXCLUDES(mutex_) {
    sync::LockGuard lock(mutex_);
    small_.for_each_block(visit);
    large_.for_each_block(visit);
  }

 private:
  Space& space(bool large) REQUIRES(mutex_) { return large ? large_ : small_; }
  void take_in(Block& block) REQUIRES(mutex_);
  void take_in_remote() REQUIRES(mutex_);
  void merge_bins() REQUIRES(mutex_);
  /// oldest_only: stops at the first that is still used. They mostly end in the order of their frees.
  bool collect_pending_locked(bool oldest_only) REQUIRES(mutex_);
  Block* take_locked(const BlockRequest& request, std::uint64_t done) REQUIRES(mutex_);
  bool is_over(const BlockUse& use) noexcept;
  bool all_reached(const Block& block) REQUIRES(mutex_);
  std::uint64_t own_end(OwnEnd own) const noexcept;
  void refuse_uncovered_uses(const Block& block) REQUIRES(mutex_);
  void hide(const Block& block) noexcept;
  void retire_uses(Block& block) REQUIRES(mutex_);
  Block& unlink_pending(Block** link) REQUIRES(mutex_);
  bool is_submitted(const TimelinePoint& point) const noexcept;
  void link_pending(Block& block) REQUIRES(mutex_);
  static bool is_checked(const Block& block) noexcept;
  // restore.cc
  void claim_for(ArenaRestore& restore, bool protect) REQUIRES(mutex_);
  void plan(ArenaRestore& restore, bool large, bool protect) REQUIRES(mutex_);
  void refuse_unfinished(const Block& block, bool protect);  // under the mutex
  void carry_out(ArenaRestore& restore) noexcept REQUIRES(mutex_);

  const int slot_;
  const ArenaUse use_;
  SegmentOwner owner_;
  const Geometry& geometry_;
  const Timeline& timeline_;
  ArenaHost& host_;

  sync::MpscList<Block> remote_;  ///< written by any thread, so away from what the mutex guards
  alignas(sync::kInterference) sync::Mutex mutex_;  // everything below, and the uses of live blocks
  BlockPool blocks_ GUARDED_BY(mutex_);
  Space small_ GUARDED_BY(mutex_);
  Space large_ GUARDED_BY(mutex_);
  std::array<BlockList, SizeClass::kCount> bins_ GUARDED_BY(mutex_);
  std::size_t bins_bytes_ GUARDED_BY(mutex_) = 0;
  Block* pending_ GUARDED_BY(mutex_) = nullptr;         // linked through next, mostly the first freed first
  Block** pending_end_ GUARDED_BY(mutex_) = &pending_;  // the link that the next one is put into
  ByteGauge pending_bytes_;                             ///< written under mutex_
  int pending_checked_ GUARDED_BY(mutex_) = 0;          // of them, those that take_checked may take
};

}  // namespace millrace
