// Who waits for whom among work that has not been submitted yet.
#pragma once

#include <vector>

#include "device/backend.h"

namespace millrace {

/// The waits of unsubmitted segments for unsubmitted points. Within a stream each segment also waits for
/// the one before it; those waits are implied.
///
/// Invariants (docs/concurrency/streams.md):
///   S5  Edges and implied waits form no circle, so whatever is committed can be submitted once what it
///       waits for is committed or given up.
///
/// Edges of segments that were submitted meanwhile do no harm, as no circle goes through them: a circle
/// goes through the segment being recorded, and what it can reach backwards is unsubmitted like itself.
///
/// Thread safety: one thread at a time; StreamPool's order mutex.
class OrderGraph {
 public:
  /// False, and nothing added, if it would close a circle.
  [[nodiscard]] bool add(TimelinePoint waiter, TimelinePoint awaited);
  /// The waits of the queue's segments up to the value are over.
  void erase_up_to(TimelinePoint waiter) noexcept;
  /// The queue's segments after the value wait no more.
  void erase_after(TimelinePoint waiter) noexcept;
  bool has_waits_of(QueueId queue) const noexcept;
  /// Does anybody wait for a point of the queue after the value?
  bool is_awaited_after(TimelinePoint point) const noexcept;
  /// Calls visit(queue) for each queue with a segment that waits for a point of the queue up to the value;
  /// some more than once.
  template <typename Visit>
  void for_each_waiter(TimelinePoint reached, Visit&& visit) const {
    for (const Edge& edge : edges_) {
      if (edge.awaited.queue == reached.queue && edge.awaited.value <= reached.value) visit(edge.waiter.queue);
    }
  }

 private:
  struct Edge {
    TimelinePoint waiter, awaited;
    bool visited = false;
  };

  bool reaches(TimelinePoint from, TimelinePoint target);

  std::vector<Edge> edges_;
  std::vector<TimelinePoint> to_visit_;
};

}  // namespace millrace
