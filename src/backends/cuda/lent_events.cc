// Streams and events of the driver's that callers have for work of their own.
#include <algorithm>
#include <new>
#include <string>

#include "backends/cuda/driver.h"
#include "backends/cuda/queue.h"

namespace millrace::cuda {

Status Queues::native_stream(QueueId id, CUstream* stream) noexcept {
  *stream = nullptr;
  if (Status over = verdict(); !over.ok()) return over;
  Queue& queue = at(id);
  try {
    const ContextScope scope(context_);
    sync::LockGuard lock(queue.mutex);
    if (queue.filling || !queue.held.empty()) return {};
    // Nobody fills (C2), and nothing is submitted meanwhile.
    CUresult opened = scope.result();
    if (opened == CUDA_SUCCESS) opened = queue.stream.open();
    if (opened != CUDA_SUCCESS) return status_of(opened, "asked for a stream", device_, id);
    *stream = queue.stream.get();
    return {};
  } catch (const std::bad_alloc&) {  // while the failure was being described
    return failures_.no_memory;
  }
}

Status Queues::lend_event(TimelinePoint point, CUevent* event) noexcept {
  *event = nullptr;
  if (Status over = verdict(); !over.ok()) return over;
  Queue& queue = at(point.queue);
  try {
    const ContextScope scope(context_);
    if (scope.result() != CUDA_SUCCESS) {
      return status_of(scope.result(), "asked for an event", device_, point.queue);
    }
    sync::LockGuard lock(queue.mutex);
    // relaxed: written under the mutex.
    if (queue.submitted.load(std::memory_order_relaxed) < point.value) return {};
    if (!queue.held.empty() && queue.held.front()->submission.value <= point.value) return {};
    for (Loan& loan : queue.loans) {
      if (loan.value != point.value) continue;
      ++loan.holders;
      *event = loan.event;
      return {};
    }
    const auto flight = std::ranges::find(queue.flights, point.value, &Flight::value);
    if (flight != queue.flights.end()) {
      if (!flight->ready || !flight->mark.recorded) return {};
      // Where the host did it, there is nothing to wait for.
      if (flight->mark.event != nullptr) {
        queue.loans.push_back({flight->mark.event, point.value, 1, true, flight->timed});
        *event = flight->mark.event;
        return {};
      }
    }
    return lend_done_event(queue, point.value, event);  // what is in flight no more is done
  } catch (const std::bad_alloc&) {
    return failures_.no_memory;
  }
}

Status Queues::lend_done_event(Queue& queue, std::uint64_t value, CUevent* event) {
  queue.loans.push_back({nullptr, value, 1, false, false});
  Loan& loan = queue.loans.back();
  // What a free one has marked was reported, and one that has marked nothing counts as done.
  if (!queue.events.empty()) {
    loan.event = queue.events.back();
    queue.events.pop_back();
  } else if (const CUresult made = driver().event_create(&loan.event, CU_EVENT_DISABLE_TIMING);
             made != CUDA_SUCCESS) {
    queue.loans.pop_back();
    return status_of(made, "asked for an event", device_, queue.id);
  }
  *event = loan.event;
  return {};
}

void Queues::return_event(QueueId id, CUevent event) noexcept {
  Queue& queue = at(id);
  sync::LockGuard lock(queue.mutex);
  const auto loan = std::ranges::find(queue.loans, event, &Loan::event);
  if (loan == queue.loans.end() || --loan->holders != 0) return;
  // Otherwise the flight puts it back.
  if (!loan->in_flight) put_event(queue, loan->event, loan->timed);
  queue.loans.erase(loan);
}

}  // namespace millrace::cuda
