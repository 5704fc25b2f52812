// Captures: streams whose work becomes part of a graph instead of running.
#include <optional>
#include <utility>

#include "stream/pool.h"

namespace millrace {

int StreamPool::acquire_capture(const char* call) {
  const sync::Gate::Pass pass = core_.enter(call);
  if (first_captured_ == size()) {
    // No slot, because the device has no graphs, or because the option says so.
    core_.throw_if_failed(core_.backend().begin_capture(-1), call);
  }
  int slot = 0;
  core_.throw_if_failed(captures_.acquire(false, &slot), call);
  return slot;
}

StreamId StreamPool::begin_captured_lease(int slot, int origin) noexcept {
  CaptureSlot& capture = capture_slot(slot);
  capture.since.store(timeline(slot).last_used(), std::memory_order_relaxed);
  capture.origin.store(origin, std::memory_order_relaxed);
  return {slot, state(slot).begin_lease()};
}

StreamId StreamPool::begin_capture(int slot, const char* call) {
  const sync::Gate::Pass pass = core_.enter(call);
  core_.throw_if_failed(core_.backend().begin_capture(slot), call, slot);
  return begin_captured_lease(slot, slot);
}

StreamId StreamPool::begin_branch(StreamId origin, int slot, const char* call) {
  check_handle(origin, call);
  std::vector<int>& branches = capture_slot(origin.slot).branches;
  branches.reserve(branches.size() + 1);
  for_each_captured(origin.slot, [&](StreamState& stream) { commit_captured(stream, call); });
  wait_until_captured(origin.slot);
  const sync::Gate::Pass pass = core_.enter(call);
  core_.throw_if_failed(core_.backend().begin_branch(slot, origin.slot), call, slot);
  branches.push_back(slot);
  return begin_captured_lease(slot, origin.slot);
}

void StreamPool::commit_captured(StreamState& stream, const char* call) {
  const sync::Gate::Pass pass = core_.enter(call);
  // Also past the limit: nobody waits for what is captured.
  StreamState::Commit commit = stream.commit(stream.generation(), true, call);
  tidy(stream, std::move(commit.after));
}

void StreamPool::wait_until_captured(int origin) noexcept {
  for_each_captured(origin, [&](StreamState& stream) {
    // Captured is as good as done, and needs nobody who might be waiting for us. Once the lease has ended
    // nothing is committed after that (end_captured_leases).
    const std::uint64_t value = stream.timeline().committed();
    assist(stream.slot(), std::nullopt, [&] { return stream.timeline().completed() >= value; });
    static_cast<void>(stream.wait_until_completed(value, std::nullopt));
  });
}

StreamPool::Captured StreamPool::end_capture(StreamId id, const char* call) {
  check_handle(id, call);
  for_each_captured(id.slot, [&](StreamState& stream) { commit_captured(stream, call); });
  const sync::Gate::Pass pass = core_.enter(call);
  Captured captured;
  captured.failed = end_captured_leases(id.slot);
  Status ended = core_.backend().end_capture(id.slot, branches_of(id.slot),
                                             captured.failed.ok() ? &captured.graph : nullptr);
  if (captured.failed.ok()) captured.failed = std::move(ended);
  return captured;
}

void StreamPool::abort_capture(StreamId id) noexcept {
  // There is nobody to tell.
  static_cast<void>(end_captured_leases(id.slot));
  static_cast<void>(core_.backend().end_capture(id.slot, branches_of(id.slot), nullptr));
}

Status StreamPool::end_captured_leases(int origin) noexcept {
  for_each_captured(origin, [&](StreamState& stream) {
    static_cast<void>(stream.drop_holder());
    // Also where nothing is recorded: who was committing has left the stream's mutex after that.
    Fifo<Segment> finished = give_up_ended(stream.slot());
    destroy(finished);
  });
  wait_until_captured(origin);
  Status first;
  for_each_captured(origin, [&](StreamState& stream) {
    Status failed = stream.take_first_failure();
    if (first.ok()) first = std::move(failed);
  });
  return first;
}

void StreamPool::free_capture(int slot) noexcept {
  CaptureSlot& capture = capture_slot(slot);
  for (const int branch : capture.branches) {
    capture_slot(branch).origin.store(-1, std::memory_order_relaxed);
    captures_.add_free(branch);
  }
  capture.branches.clear();
  capture.origin.store(-1, std::memory_order_relaxed);
  captures_.add_free(slot);
}

bool StreamPool::in_one_capture(int slot, int other) const noexcept {
  if (slot < first_captured_ || other < first_captured_) return false;
  const int origin = capture_slot(slot).origin.load(std::memory_order_relaxed);
  return origin >= 0 && origin == capture_slot(other).origin.load(std::memory_order_relaxed);
}

void StreamPool::throw_captured_event(const char* call) const {
  throw_rule(
      "captured-event",
      "the event was recorded inside a capture, so it marks work that runs when the graph is launched; "
      "record one on the stream of the launch, or wait on a stream of the same capture "
      "(Capture::branch makes more of them)",
      core_.error_context(call));
}

void StreamPool::refuse_crossing_wait(const StreamState& waiter, TimelinePoint point,
                                      const char* call) const {
  if (in_one_capture(waiter.slot(), point.queue) &&
      point.value > capture_slot(point.queue).since.load(std::memory_order_relaxed)) {
    return;
  }
  refuse_captured(point, call);
  throw_rule("event-outside-capture",
             "a graph waits for nothing outside of it; let the stream wait on which it is launched",
             core_.error_context(call, waiter.slot()));
}

}  // namespace millrace
