// How the host waits for streams, command buffers and points.
#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "device/handler_scope.h"
#include "stream/pool.h"
#include "sync/thread.h"

namespace millrace {
namespace {

// Waking a thread that blocks takes about as long.
constexpr std::chrono::microseconds kSpin{10};

}  // namespace

void StreamPool::refuse_wait_on_backend_thread(const char* call) const {
  if (!core_.backend().on_own_thread()) return;
  throw_rule(
      "wait-in-own-handler",
      "a host task would wait on the thread that has to run what it waits for; order streams with events",
      core_.error_context(call));
}

void StreamPool::throw_timed_out(std::string what, int slot, const char* call) const {
  throw Error(ErrorCode::TimedOut, "waited until the limit for " + std::move(what) + "; the work goes on",
              core_.error_context(call, slot));
}

void StreamPool::assist(int slot, sync::Deadline deadline, bool (*done)(const void*),
                        const void* context) noexcept {
  if (core_.backend().on_own_thread()) return;
  // With a limit it only looks: how long a submission takes is not known before.
  while (!deadline && !done(context) && core_.backend().assist(slot)) {
  }
  sync::Clock::time_point end = sync::now() + kSpin;
  if (deadline) end = std::min(end, *deadline);
  while (!done(context) && sync::now() < end) sync::yield();
}

void StreamPool::refuse_wait_in_own_handler(StreamState& stream, const char* call) const {
  refuse_wait_on_backend_thread(call);
  if (HandlerScope::inside(core_) && stream.in_handler_of_unfinished()) {
    throw_rule("wait-in-own-handler",
               "inside a handler of a command buffer the stream would wait for that very buffer",
               core_.error_context(call, stream.slot()));
  }
}

void StreamPool::wait(StreamId id, sync::Deadline deadline, const char* call) {
  StreamState& stream = state_of(id, call);
  stream.refuse_captured_work("a wait", call);
  refuse_wait_in_own_handler(stream, call);
  const std::uint64_t value = value_to_wait_for(stream, commit(id, deadline, call).value);
  assist(id.slot, deadline, [&] { return stream.timeline().completed() >= value; });
  if (!stream.wait_until_completed(value, deadline)) {
    throw_timed_out("value " + std::to_string(value) + " of the stream's timeline, which has reached " +
                        std::to_string(stream.timeline().completed()),
                    id.slot, call);
  }
  core_.backend().host_knows({id.slot, value});
  stream.take_first_failure(id.generation).throw_if_failed();
}

void StreamPool::wait(BufferState& buffer, sync::Deadline deadline, const char* call) {
  StreamState& stream = buffer.stream();
  stream.refuse_captured_work("a wait", call);
  if (HandlerScope::inside(&buffer)) {
    throw_rule("wait-in-own-handler", "inside a handler of the command buffer there is nothing to wait for",
               core_.error_context(call, stream.slot()));
  }
  if (buffer.status() == BufferStatus::recording) {
    throw_rule("wait-before-commit", "the command buffer is being recorded; commit it first",
               core_.error_context(call, stream.slot()));
  }
  if (!is_final(buffer.status())) {
    refuse_wait_on_backend_thread(call);
    assist(stream.slot(), deadline, [&] { return is_final(buffer.status()); });
    if (!stream.wait_until_final(buffer, deadline)) {
      throw_timed_out(
          "command buffer " + std::to_string(buffer.sequence()) + ", which is " + to_string(buffer.status()),
          stream.slot(), call);
    }
  }
  // One that was given up is final before its place in the order is reached.
  if (is_completed(buffer.end())) core_.backend().host_knows(buffer.end());
  if (buffer.status() != BufferStatus::abandoned) stream.failure_of(buffer).throw_if_failed();
}

void StreamPool::wait(TimelinePoint point, sync::Deadline deadline, const char* call) {
  refuse_captured(point, call);
  if (!is_completed(point)) {
    refuse_wait_on_backend_thread(call);
    assist(point.queue, deadline, [&] { return is_completed(point); });
    if (!state(point.queue).wait_until_completed(point.value, deadline)) {
      throw_timed_out(
          "an event, whose work is " +
              std::string(timeline(point.queue).submitted() >= point.value   ? "submitted"
                          : timeline(point.queue).committed() >= point.value ? "held for other work"
                                                                             : "not committed"),
          point.queue, call);
    }
  }
  core_.backend().host_knows(point);
  status_of(point).throw_if_failed();
}

bool StreamPool::query(StreamId id, const char* call) {
  check_lease(id, call);
  StreamState& stream = state(id.slot);
  stream.refuse_captured_work("a query", call);
  const std::uint64_t value = stream.timeline().committed();
  if (stream.timeline().completed() < value) return false;
  if (stream.is_wrapped() && !stream.is_idle()) return false;
  core_.backend().host_knows({id.slot, value});
  return true;
}

void StreamPool::synchronize(const char* call) {
  if (core_.on_device_thread()) {
    throw_rule("wait-in-own-handler",
               "a handler or host task would wait for itself; wait for command buffers or events",
               core_.error_context(call));
  }
  std::vector<std::uint64_t> values;
  values.reserve(streams_.size());
  for (const auto& stream : streams_) {
    if (stream->is_captured()) {
      values.push_back(0);  // what is captured is its capture's
      continue;
    }
    values.push_back(value_to_wait_for(*stream, commit_any(*stream, call)));
  }
  Status first;
  for (std::size_t i = 0; i < streams_.size(); ++i) {
    static_cast<void>(streams_[i]->wait_until_completed(values[i], std::nullopt));
    if (values[i] != 0) core_.backend().host_knows({static_cast<QueueId>(i), values[i]});
    if (streams_[i]->is_captured()) continue;
    Status failure = streams_[i]->take_first_failure();
    if (first.ok()) first = std::move(failure);
  }
  static_cast<void>(dispatcher_.wait_until_idle(std::nullopt));
  first.throw_if_failed();
}

bool StreamPool::wait_until_completed(TimelinePoint point, sync::Deadline deadline) {
  if (!is_completed(point)) {
    if (timeline(point.queue).committed() < point.value || core_.backend().on_own_thread()) return false;
    if (!state(point.queue).wait_until_completed(point.value, deadline)) return false;
  }
  core_.backend().host_knows(point);
  return true;
}

}  // namespace millrace
