// Protect mode: which submissions are ordered before which, as vector clocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "device/backend.h"

namespace millrace::host {

/// One value a queue: everything up to it happened before.
using VectorClock = std::vector<std::uint64_t>;

/// The clocks of all points that can still be waited for.
///
/// What any host thread knows to be complete counts as known to all of them from then on: how host
/// threads synchronise among themselves cannot be seen. So a missing dependency may be missed, and a
/// right program is never accused. The same holds for points so old that their clock was dropped.
///
/// Invariants (docs/concurrency.md):
///   K4  The clock given for a submission contains everything that was ordered before it by its queue,
///       by its waits or through the host. It may contain more.
///
/// Thread safety: none; Protect's mutex covers it.
class Clocks {
 public:
  explicit Clocks(int queues);

  /// The clock of a submission, made from the one before it on its queue, its waits and what the host
  /// knows. Valid until the next call.
  const VectorClock& submit(const Submission& submission);
  void host_knows(TimelinePoint point) noexcept;
  /// Complete to the host's knowledge: no later submission can run beside it.
  bool known_to_host(TimelinePoint point) const { return host_[index(point.queue)] >= point.value; }

  /// How many clocks are kept, for tests.
  std::size_t kept() const;

 private:
  // Within a queue only the own component differs from one submission to the next, unless something
  // was waited for; so a clock is kept for those submissions only at which others changed.
  struct Change {
    std::uint64_t value;  // of the first submission with this clock
    VectorClock clock;
  };
  struct Lane {
    VectorClock last;            // of the last submission
    std::deque<Change> changes;  // oldest first
    bool dropped = false;        // changes older than the first were dropped, for want of room
  };

  static std::size_t index(QueueId queue) { return static_cast<std::size_t>(queue); }
  /// Adds a point and what is before it to a clock; did components change?
  bool join(VectorClock& clock, TimelinePoint point) const noexcept;
  static bool join(VectorClock& clock, const VectorClock& other) noexcept;

  const std::size_t most_changes_;  // a queue
  std::vector<Lane> lanes_;
  VectorClock host_;  // what the host knows to be complete
};

}  // namespace millrace::host
