// What a device's memory gained and lost, for those who want to be told.
#pragma once

#include <cstddef>
#include <list>
#include <memory>

#include <millrace/memory_observer.h>

#include "sync/atomic.h"
#include "sync/mutex.h"

namespace millrace {

/// Changes happen under the mutexes of arenas, and user code runs with none held: so they are noted there, in
/// their order, and told at the end of the call that caused them.
///
/// Invariants (docs/concurrency.md):
///   N4  Each change is told once to each observer that was there, in the order in which they happened, by
///   one thread
///       at a time and with no lock held; at the latest when the calls that were underway have returned.
///
/// Thread safety: all members from any thread; tell with no lock and no context held.
class SegmentLog {
 public:
  /// Room for one change, made before it happens: then it can be noted whatever there is.
  struct Entry;
  struct FreeEntry {
    void operator()(Entry* entry) const noexcept;
  };
  using Room = std::unique_ptr<Entry, FreeEntry>;

  SegmentLog() = default;
  ~SegmentLog();
  SegmentLog(const SegmentLog&) = delete;
  SegmentLog& operator=(const SegmentLog&) = delete;

  /// Throws std::bad_alloc.
  void add_observer(std::shared_ptr<MemoryObserver> observer);
  /// Null where nobody watches. Throws std::bad_alloc.
  Room make_room() const;
  /// The mutex of the arena that the memory is of is held, and the range is not anybody else's yet.
  void note(Room room, const SegmentChange& change) noexcept;
  /// Tells what was noted, unless another thread does.
  void tell() noexcept;
  /// With no lock and no context held.
  void tell(const OutOfMemoryReport& report) noexcept;

 private:
  /// The observers that there are, which only grow.
  std::size_t watching() const noexcept {
    return watching_.load(std::memory_order_relaxed);  // relaxed: who comes meanwhile is told from then on
  }

  sync::Mutex mutex_;  // a leaf
  std::list<std::shared_ptr<MemoryObserver>> observers_ GUARDED_BY(mutex_);
  sync::atomic<std::size_t> watching_{0};      // how many these are; written under mutex_
  Entry* first_ GUARDED_BY(mutex_) = nullptr;  // noted and not told yet
  Entry* last_ GUARDED_BY(mutex_) = nullptr;
  sync::atomic<bool> noted_{false};  // is there one? Written under mutex_
  bool telling_ GUARDED_BY(mutex_) = false;
};

}  // namespace millrace
