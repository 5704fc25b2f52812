// Captures: streams whose work becomes part of a graph instead of running.
#include <utility>

#include "stream/pool.h"

namespace millrace {

StreamId StreamPool::begin_capture(const char* call) {
  const sync::Gate::Pass pass = core_.enter(call);
  if (first_captured_ == size()) {
    // No slot, because the device has no graphs, or because the option says so.
    core_.throw_if_failed(core_.backend().begin_capture(-1), call);
  }
  int slot = 0;
  core_.throw_if_failed(captures_.acquire(false, &slot), call);
  Status begun = core_.backend().begin_capture(slot);
  if (!begun.ok()) {
    captures_.add_free(slot);
    core_.throw_if_failed(begun, call, slot);
  }
  return {slot, state(slot).begin_lease()};
}

StreamPool::Captured StreamPool::end_capture(StreamId id, const char* call) {
  StreamState& stream = state_of(id, call);
  const std::uint64_t value = commit(id, std::nullopt, call).value;
  // Captured is as good as done, and needs nobody who might be waiting for us.
  assist(id.slot, std::nullopt, [&] { return stream.timeline().completed() >= value; });
  static_cast<void>(stream.wait_until_completed(value, std::nullopt));
  const sync::Gate::Pass pass = core_.enter(call);
  Captured captured;
  captured.failed = stream.take_first_failure(id.generation);
  Status ended = core_.backend().end_capture(id.slot, captured.failed.ok() ? &captured.graph : nullptr);
  if (captured.failed.ok()) captured.failed = std::move(ended);
  end_captured_lease(stream);
  return captured;
}

void StreamPool::abort_capture(StreamId id) noexcept {
  StreamState& stream = state(id.slot);
  end_captured_lease(stream);
  const std::uint64_t value = stream.timeline().committed();
  assist(id.slot, std::nullopt, [&] { return stream.timeline().completed() >= value; });
  static_cast<void>(stream.wait_until_completed(value, std::nullopt));
  static_cast<void>(core_.backend().end_capture(id.slot, nullptr));  // there is nobody to tell
}

void StreamPool::end_captured_lease(StreamState& stream) noexcept {
  if (stream.drop_holder() != StreamState::LeaseEnd::recording) return;
  Fifo<Segment> finished = give_up_ended(stream.slot());
  destroy(finished);
}

void StreamPool::throw_captured_event(const char* call) const {
  throw_rule("captured-event",
             "the event was recorded inside a capture, so it marks work that runs when the graph is "
             "launched; record "
             "one on the stream of the launch",
             core_.error_context(call));
}

void StreamPool::refuse_outside_event(const StreamState& stream, const char* call) const {
  if (!stream.is_captured()) return;
  throw_rule("event-outside-capture",
             "a graph waits for nothing outside of it; let the stream wait on which it is launched",
             core_.error_context(call, stream.slot()));
}

}  // namespace millrace
