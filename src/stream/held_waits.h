// Who waits for whom among work that has not been submitted yet.
#pragma once

#include <vector>

#include "device/backend.h"

namespace millrace {

/// The waits of unsubmitted segments for unsubmitted points: whose submission releases whom.
///
/// Invariants (docs/concurrency/streams.md):
///   S5  Held waits form no circle, so whatever is committed is submitted once all that it waits for is
///       committed or given up. A wait is for a point that was marked before the wait was recorded, a
///       marked segment takes no more waits, and a segment begins after its predecessor has ended: along
///       waits and along the order of a stream the time of marking only falls.
///
/// Thread safety: one thread at a time; StreamPool's order mutex.
class HeldWaits {
 public:
  void add(TimelinePoint waiter, TimelinePoint awaited) { waits_.push_back({waiter, awaited}); }
  /// The waits of the queue's segments up to the value are over.
  void erase_up_to(TimelinePoint waiter) noexcept {
    std::erase_if(waits_, [&](const Wait& wait) {
      return wait.waiter.queue == waiter.queue && wait.waiter.value <= waiter.value;
    });
  }
  /// The queue's segments after the value wait no more.
  void erase_after(TimelinePoint waiter) noexcept {
    std::erase_if(waits_, [&](const Wait& wait) {
      return wait.waiter.queue == waiter.queue && wait.waiter.value > waiter.value;
    });
  }
  /// Does a segment of the queue wait, or anybody for a point of the queue after the value?
  bool concerns(TimelinePoint point) const noexcept {
    for (const Wait& wait : waits_) {
      if (wait.waiter.queue == point.queue) return true;
      if (wait.awaited.queue == point.queue && wait.awaited.value > point.value) return true;
    }
    return false;
  }
  /// Calls visit(queue) for each queue with a segment that waits for a point of the queue up to the value;
  /// for some more than once.
  template <typename Visit>
  void for_each_waiter(TimelinePoint reached, Visit&& visit) const {
    for (const Wait& wait : waits_) {
      if (wait.awaited.queue == reached.queue && wait.awaited.value <= reached.value)
        visit(wait.waiter.queue);
    }
  }

 private:
  struct Wait {
    TimelinePoint waiter, awaited;
  };
  std::vector<Wait> waits_;
};

}  // namespace millrace
