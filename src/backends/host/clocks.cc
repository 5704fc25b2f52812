#include "backends/host/clocks.h"

#include <algorithm>
#include <new>

namespace millrace::host {
namespace {

// All clocks together stay below this.
constexpr std::size_t kMostBytes = std::size_t{64} << 20;

std::size_t changes_a_queue(std::size_t queues) {
  return std::max<std::size_t>(8, kMostBytes / (sizeof(std::uint64_t) * queues * queues));
}

}  // namespace

Clocks::Clocks(int queues)
    : most_changes_(changes_a_queue(static_cast<std::size_t>(queues))),
      lanes_(static_cast<std::size_t>(queues)),
      host_(static_cast<std::size_t>(queues)) {
  for (Lane& lane : lanes_) lane.last.resize(host_.size());
}

bool Clocks::join(VectorClock& clock, const VectorClock& other) noexcept {
  bool changed = false;
  for (std::size_t i = 0; i < clock.size(); ++i) {
    if (other[i] <= clock[i]) continue;
    clock[i] = other[i];
    changed = true;
  }
  return changed;
}

bool Clocks::join(VectorClock& clock, TimelinePoint point) const noexcept {
  const std::size_t queue = index(point.queue);
  bool changed = clock[queue] < point.value;
  if (changed) clock[queue] = point.value;
  const Lane& lane = lanes_[queue];
  auto after = std::upper_bound(lane.changes.begin(), lane.changes.end(), point.value,
                                [](std::uint64_t value, const Change& c) { return value < c.value; });
  if (after == lane.changes.begin()) {
    // Before the first change nothing but the queue itself was ordered before the point, or the host
    // knows what was (host_knows pruned it), or it was dropped; then a later clock contains it (K4).
    if (!lane.dropped || after == lane.changes.end()) return changed;
    ++after;
  }
  return join(clock, std::prev(after)->clock) || changed;
}

const VectorClock& Clocks::submit(const Submission& submission) {
  Lane& lane = lanes_[index(submission.queue)];
  bool changed = join(lane.last, host_);
  for (const TimelinePoint& wait : submission.waits) changed = join(lane.last, wait) || changed;
  lane.last[index(submission.queue)] = submission.value;
  if (changed) {
    if (lane.changes.size() == most_changes_) {
      lane.changes.pop_front();
      lane.dropped = true;
    }
    try {
      lane.changes.push_back({submission.value, lane.last});
    } catch (const std::bad_alloc&) {
      // K4: later clocks may contain more than was ordered before them, and not less.
      join(host_, lane.last);
      throw;
    }
  }
  return lane.last;
}

void Clocks::host_knows(TimelinePoint point) noexcept {
  if (known_to_host(point)) return;
  join(host_, point);
  // host_ contains these from here on, and is part of every later clock.
  Lane& lane = lanes_[index(point.queue)];
  while (!lane.changes.empty() && lane.changes.front().value <= point.value) {
    lane.changes.pop_front();
    lane.dropped = false;  // what was dropped was older still
  }
}

std::size_t Clocks::kept() const {
  std::size_t count = 0;
  for (const Lane& lane : lanes_) count += lane.changes.size();
  return count;
}

}  // namespace millrace::host
