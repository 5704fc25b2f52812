// Memory that nobody gets who does not name it: the arenas of a private pool, by stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "device/backend.h"
#include "memory/arena.h"
#include "memory/sourced_segments.h"
#include "sync/atomic.h"

namespace millrace::detail {

/// What MemoryPool's handles mean. It is kept for the next pool once this one is gone, since arenas live as
/// long as the device; number says whether it is still the one that was meant.
///
/// While somebody uses it, whatever is free in it may be in recorded work that will run again; so it is
/// neither given back nor moved. The last one to go leaves the points that what was recorded by then reaches.
///
/// Invariants (docs/concurrency.md):
///   N1  A block of a pool is in the hands of who named the pool, and of no other pool's user; but for
///   use_on_oom. N2  A pool's memory is given back or moved only when it has no users and what was recorded
///   before the last one
///       went is done.
///
/// Thread safety: the atomics, through the members, from any thread; the rest as it says.
class PoolState {
 public:
  /// segments: those of a pool that somebody else provides; null: the device's.
  PoolState(std::size_t slots, bool whole, std::unique_ptr<SourcedSegments> segments = nullptr)
      : whole_blocks(whole), source(std::move(segments)), arenas_(slots) {
    ends.reserve(slots);
  }

  /// 0: nobody's.
  std::uint64_t number() const noexcept {
    // acquire: pairs with the release in begin.
    return number_.load(std::memory_order_acquire);
  }
  std::uint64_t users() const noexcept { return users_.load(std::memory_order_acquire); }  // as drop_user's
  bool lends() const noexcept {
    // acquire: pairs with the release in set_lends, so that who lends of it knows it as one that ever did.
    return lends_.load(std::memory_order_acquire);
  }
  bool ever_lent() const noexcept {
    // relaxed: who restores a pool is ordered after those who made it lend, or could not know.
    return ever_lent_.load(std::memory_order_relaxed);
  }

  /// A new pool, with one user.
  void begin(std::uint64_t number, bool lends) noexcept {
    users_.store(1, std::memory_order_relaxed);  // published with the number
    lends_.store(lends, std::memory_order_relaxed);
    ever_lent_.store(lends, std::memory_order_relaxed);
    // release: pairs with the acquire in number.
    number_.store(number, std::memory_order_release);
  }
  void end() noexcept { number_.store(0, std::memory_order_relaxed); }  // whoever still looks has no pool
  void set_lends(bool lends) noexcept {
    if (lends) ever_lent_.store(true, std::memory_order_relaxed);  // published with the wish
    // release: pairs with the acquire in lends.
    lends_.store(lends, std::memory_order_release);
  }

  /// False where there are none.
  [[nodiscard]] bool add_user() noexcept {
    // relaxed: the caller knows a user, who keeps the pool there.
    std::uint64_t users = users_.load(std::memory_order_relaxed);
    while (users != 0) {
      if (users_.compare_exchange_weak(users, users + 1, std::memory_order_relaxed,
                                       std::memory_order_relaxed))
        return true;
    }
    return false;
  }
  /// How many there were; 0: nothing has changed.
  std::uint64_t drop_user() noexcept {
    std::uint64_t users = users_.load(std::memory_order_relaxed);
    while (users != 0) {
      // acq_rel: whoever finds none is ordered after all that users did (N2).
      if (users_.compare_exchange_weak(users, users - 1, std::memory_order_acq_rel,
                                       std::memory_order_relaxed))
        return users;
    }
    return 0;
  }

  /// Null: not made yet.
  Arena* arena(int slot) const noexcept {
    // acquire: pairs with the release in set_arena.
    return arenas_[static_cast<std::size_t>(slot)].load(std::memory_order_acquire);
  }
  /// The allocator's to make, one thread at a time.
  void set_arena(int slot, Arena& arena) noexcept {
    arenas_[static_cast<std::size_t>(slot)].store(&arena, std::memory_order_release);
  }
  template <typename Visit>
  void for_each_arena(Visit&& visit) const {
    for (int slot = 0; static_cast<std::size_t>(slot) < arenas_.size(); ++slot) {
      if (Arena* each = arena(slot)) visit(*each);
    }
  }

  const bool whole_blocks;                        ///< MemoryPoolOptions::no_split
  const std::unique_ptr<SourcedSegments> source;  ///< null: the device's memory
  // Guarded by Allocator::pools_mutex_.
  bool dropped = false;             ///< it has no users, and ends says until when it is used
  std::vector<TimelinePoint> ends;  ///< has room for one of each stream

 private:
  sync::atomic<std::uint64_t> number_{0};
  sync::atomic<std::uint64_t> users_{0};
  sync::atomic<bool> lends_{false}, ever_lent_{false};
  std::vector<sync::atomic<Arena*>> arenas_;  // by slot; made when first asked for
};

}  // namespace millrace::detail
