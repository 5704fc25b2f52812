// A piece of a command buffer that is submitted as one and has a value of its own on the timeline.
#pragma once

#include <cstdint>
#include <vector>

#include "device/backend.h"
#include "device/status.h"
#include "sync/clock.h"

namespace millrace {

namespace detail {
class BufferState;
}
using detail::BufferState;

/// Something that marks a point of a stream's work and wants to know when that was reached: an event.
///
/// Thread safety: called with the mutex of a stream held; may take a leaf mutex of its own. Lives as long
/// as the pool of streams.
class Mark {
 public:
  /// It now marks the point. Returns the number of this marking.
  virtual std::uint64_t marked(TimelinePoint point) noexcept = 0;
  /// The point of that marking was reached; ignored if it has been marked again since.
  virtual void reached(std::uint64_t marking, sync::Clock::time_point when) noexcept = 0;

 protected:
  ~Mark() = default;
};

/// Marking an event ends a segment, and a wait begins one unless nothing was recorded in the current one
/// yet. So what a buffer does before a wait can be submitted without it, and two buffers that wait for
/// each other's earlier halves are no circle.
///
/// Thread safety: under the stream's mutex; once taken out of the stream, its taker's alone.
struct Segment {
  Segment(BufferState& owner, QueueId queue, std::uint64_t at, std::uint64_t sequence) : buffer(&owner) {
    submission.queue = queue;
    submission.value = at;
    submission.sequence = sequence;
  }

  std::uint64_t value() const noexcept { return submission.value; }

  Segment* next = nullptr;
  BufferState* buffer;  // the stream's reference keeps it until its last segment is done
  Submission submission;
  /// What the caller waits for: the failure of one of these is the segment's. All but those of the same
  /// stream are in submission.waits too.
  std::vector<TimelinePoint> depends;
  /// The part of submission.waits that came with reused memory. It stays when the buffer is abandoned,
  /// since what is recorded after it relies on it.
  std::vector<TimelinePoint> reuse_waits;
  struct Marking {
    Mark* mark;
    std::uint64_t number;
  };
  std::vector<Marking> markings;
  bool ended = false;  ///< nothing more is recorded in it
  bool native =
      false;  ///< stands for work that the caller has put on the driver's stream: it can't be given up
  bool refused = false;  ///< the backend did not take it, so it won't report it
  Status failure;        ///< it must not run, and completes with this
};

}  // namespace millrace
