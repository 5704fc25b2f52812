// What the device has done, and who is told of it.
#include <algorithm>
#include <chrono>
#include <new>
#include <string>
#include <utility>

#include "backends/cuda/driver.h"
#include "backends/cuda/own_queues.h"
#include "backends/cuda/queue.h"
#include "sync/clock.h"
#include "sync/thread.h"

namespace millrace::cuda {
namespace {

// How long whoever waits looks at the device without a pause, and how long in all, with pauses of a part of
// what has passed. A thread that sleeps is late by what the watcher's pause and its own waking take, 50 to
// 100 us.
constexpr std::chrono::microseconds kLookSteadily{50};
constexpr std::chrono::microseconds kAssist{2000};
constexpr int kPausePart = 32;
// How long a chain of queues is reported in one go. Threads with small stacks may be the ones that report.
constexpr int kDeepest = 8;

}  // namespace

bool Queues::is_done(Queue& queue, Flight& flight, Status& status, sync::Clock::time_point& when) noexcept {
  status = flight.failure;
  when = sync::now();
  if (flight.mark.event == nullptr) return true;
  if (is_lost()) {
    // Where the process exits, the driver may be gone before us: that is no loss.
    if (status.ok()) status = verdict();
    return true;
  }
  const ContextScope scope(context_);
  if (!flight.mark.recorded) return is_done_after_capture(queue, flight);
  const CUresult result = driver().event_query(flight.mark.event);
  if (result == CUDA_ERROR_NOT_READY) return false;
  if (result == CUDA_SUCCESS) {
    if (flight.timed) when = clock_.when(flight.mark.event, when);
    return true;
  }
  if (result == CUDA_ERROR_CAPTURED_EVENT) {
    // The owner of the wrapped stream began to capture it just then, so none of it has run.
    sync::LockGuard lock(queue.mutex);
    flight.failure = queue.stream.captured();
    flight.mark.recorded = false;
    return false;
  }
  lose(lost_with(result, "asked how far the device has come"));
  if (status.ok()) status = verdict();
  return true;
}

Status Queues::lost_with(CUresult result, const char* asked) noexcept {
  try {
    return Status(ErrorCode::DeviceLost,
                  std::string("the device was lost: ") + asked + ", and the driver answered " +
                      describe(result) + "; close the device",
                  error_context());
  } catch (const std::bad_alloc&) {
    return failures_.no_memory;
  }
}

bool Queues::waits_are_reported(const Flight& flight, bool plain_only, int depth) noexcept {
  if (flight.waits.empty()) return true;
  if (depth == kDeepest) return false;
  return std::ranges::all_of(flight.waits, [&](const TimelinePoint& wait) {
    Queue& other = at(wait.queue);
    const auto is_reported = [&] {
      // acquire: pairs with the release in report.
      return other.reached.load(std::memory_order_acquire) >= wait.value;
    };
    // Waits never circle. Where another thread reports for that queue, we come back.
    while (!is_reported() && report(other, plain_only, depth + 1)) {
    }
    return is_reported();
  });
}

bool Queues::report(Queue& queue, bool plain_only, int depth) noexcept {
  bool any = false;
  sync::UniqueLock lock(queue.mutex);
  if (queue.reporting || queue.abandoned) return false;
  queue.reporting = true;
  while (!queue.flights.empty() && queue.flights.front().ready) {
    // It stays where it is while others are added behind it.
    Flight& front = queue.flights.front();
    if (plain_only && !front.plain) break;
    lock.unlock();
    Status status;
    sync::Clock::time_point when;
    const bool done = is_done(queue, front, status, when) && waits_are_reported(front, plain_only, depth);
    lock.lock();
    if (!done) break;
    const Flight flight = std::move(queue.flights.front());
    queue.flights.pop_front();
    if (flight.timed) timed_.fetch_sub(1, std::memory_order_relaxed);
    put_event(queue, flight);
    // release: before handed and reached; pairs with the acquire in goes_ahead (C3).
    if (!status.ok()) {
      queue.last_failure.store(flight.value, std::memory_order_release);
    } else if (flight.value != queue.reached.load(std::memory_order_relaxed) + 1) {
      // What was refused in between has failed.
      queue.last_failure.store(flight.value - 1, std::memory_order_release);
    }
    lock.unlock();
    {
      const OwnScope own(this);
      sink_.completed({queue.id, flight.value}, status, when);
    }
    lock.lock();
    any = true;
    // release: pairs with the acquire in goes_ahead and is_its_turn.
    queue.reached.store(flight.value, std::memory_order_release);
    if (queue.handed.load(std::memory_order_relaxed) < flight.value)
      queue.handed.store(flight.value, std::memory_order_release);
    queue.underway.fetch_sub(1, std::memory_order_relaxed);  // relaxed: the watcher only looks in vain
  }
  // What a thread is destroying is its to report first.
  if (queue.given_up && !queue.finishing) report_left(queue, plain_only);
  queue.reporting = false;
  return any;
}

bool Queues::assist(QueueId id) noexcept {
  Queue& queue = at(id);
  const sync::Clock::time_point begin = sync::now();
  for (;;) {
    if (report(queue, true)) {
      wake(Urgency::high);  // what is held may wait for it
      return true;
    }
    if (advance(queue, true) || run_copies(queue)) return true;
    {
      sync::LockGuard lock(queue.mutex);
      if (queue.flights.empty() || !queue.flights.front().plain) return false;
    }
    const sync::Clock::time_point now = sync::now();
    if (now - begin >= kAssist) return false;
    if (now - begin < kLookSteadily) continue;
    const sync::Clock::time_point next_look = now + (now - begin) / kPausePart;
    while (sync::now() < next_look) sync::yield();
  }
}

}  // namespace millrace::cuda
