#include "backends/cuda/queue.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <new>
#include <utility>
#include <variant>

#include "backends/cuda/driver.h"
#include "backends/cuda/own_queues.h"
#include "backends/cuda/ranges.h"
#include "sync/clock.h"
#include "sync/signals.h"

namespace millrace::cuda {
Queues::Queues(const Options& options, CompletionSink& sink, std::string device, CUcontext context,
               const Memory& memory)
    : device_(std::move(device)),
      nvtx_(options.nvtx),
      sink_(sink),
      context_(context),
      memory_(memory),
      failures_(device_),
      tasks_(options.workers) {
  for (int i = 0; i < options.queues; ++i) queues_.push_back(std::make_unique<Queue>(i, memory_, device_));
}

Queues::~Queues() {
  const ContextScope scope(context_);
  for (const auto& queue : queues_) queue->stream.give_up_capture();  // before a branch of it is destroyed
  for (const auto& queue : queues_) {
    drop_captured_events(*queue);
    for (const auto* events : {&queue->events, &queue->timed_events}) {
      for (CUevent event : *events) (void)driver().event_destroy(event);
    }
    for (const Loan& loan : queue->loans) (void)driver().event_destroy(loan.event);
    queue->stream.close();
  }
  clock_.close();
}

Status Queues::start() {
  const sync::SignalsBlocked inherited;
  {
    const ContextScope scope(context_);
    clock_.start();
  }
  Status started = tasks_.start([this] { OwnQueues::set(this); }, device_);
  if (!started.ok()) return started;
  try {
    watcher_ = sync::Thread([self = sync::Ref<Queues>::share(this)] { self->watch(); });
    return {};
  } catch (const std::exception& error) {
    (void)tasks_.stop(std::nullopt);
    return Status(ErrorCode::OutOfMemory,
                  std::string("the system made no thread to watch the device (") + error.what() +
                      "); raise the process's thread and memory limits",
                  error_context());
  }
}

bool Queues::on_own_thread() const noexcept {
  return OwnQueues::get() == this;
}

bool Queues::is_lost() const noexcept {
  // acquire: pairs with the release in lose.
  return lost_.load(std::memory_order_acquire);
}

void Queues::lose(const Status& why) noexcept {
  sync::LockGuard lock(mutex_);
  if (!lost_status_.ok()) return;
  lost_status_ = why;
  lost_.store(true, std::memory_order_release);  // pairs with the acquire in is_lost
}

// A failure with which all that is not done completes.
Status Queues::verdict() noexcept {
  // acquire: pairs with the release in cancel.
  if (cancelled_.load(std::memory_order_acquire)) return failures_.cancelled;
  if (!is_lost()) return {};
  sync::LockGuard lock(mutex_);
  return lost_status_;
}

Status Queues::submit(Submission&& submission) noexcept {
  const bool native = submission.native;
  const QueueId queue = submission.queue;
  Status refused = try_submit(std::move(submission));
  if (refused.ok() || queue < 0 || queue >= size()) return refused;
  if (is_lost()) return refused;  // nothing is done there any more
  const ContextScope scope(context_);
  if (at(queue).stream.is_wrapped()) {
    finish_wrapped(at(queue));  // upholds C7
  } else if (native) {
    at(queue).stream.finish();  // upholds C7
  }
  return refused;
}

Status Queues::try_submit(Submission&& submission) noexcept {
  if (Status refused = failures_.check_queues(submission, size()); !refused.ok()) return refused;
  if (is_lost()) return verdict();
  // acquire: pairs with the release in stop.
  if (stopped_.load(std::memory_order_acquire)) return failures_.stopped;
  try {
    for (const TimelinePoint& wait : submission.waits) {
      // relaxed: the caller knows that it was submitted.
      const std::uint64_t submitted = at(wait.queue).submitted.load(std::memory_order_relaxed);
      if (Status refused = failures_.check_wait(submission, wait, submitted); !refused.ok()) return refused;
    }
    if (!submission.holder) submission.holder = make_holder();
    const ContextScope scope(context_);  // the driver says of which kind an address is
    const bool on_host = std::ranges::any_of(submission.operations, [&](const Operation& operation) {
      return place_of(operation, memory_) == Place::host;
    });
    const bool plain =
        !submission.given_up && std::ranges::none_of(submission.operations, [](const auto& operation) {
          return std::holds_alternative<TaskWork>(operation.work);
        });
    Queue& queue = at(submission.queue);
    std::unique_ptr<Item> item;
    bool ahead = false;
    {
      sync::LockGuard lock(queue.mutex);
      if (queue.given_up) return failures_.stopped;
      const std::uint64_t last = queue.submitted.load(std::memory_order_relaxed);  // relaxed: under the mutex
      if (Status refused = failures_.check_value(submission, last); !refused.ok()) return refused;
      ahead =
          queue.held.empty() && goes_ahead(queue, submission, on_host) && try_begin(queue, submission, true);
      item.reset(static_cast<Item*>(submission.holder.release()));
      item->submission = std::move(submission);
      item->on_host = on_host;
      item->plain = plain;
      queue.submitted.store(item->submission.value, std::memory_order_relaxed);
      if (!ahead) queue.held.push_back(item.release());
      // seq_cst: with the load in wake and the watcher's in doze, one of us sees the other (C6).
      queue.underway.fetch_add(1, std::memory_order_seq_cst);
    }
    if (ahead) fill(queue, std::move(item));
    wake(ahead ? Urgency::low : Urgency::high);
    return {};
  } catch (const std::bad_alloc&) {
    return failures_.no_memory;
  }
}

bool Queues::goes_ahead(const Queue& queue, const Submission& submission, bool on_host) const noexcept {
  if (on_host || submission.given_up || queue.filling) return false;
  if (is_captured_by_owner(queue)) return false;
  const auto is_ahead = [this](TimelinePoint point) {
    // acquire: pairs with the release in end and report, so that a failure before it is seen (C3).
    return queues_[static_cast<std::size_t>(point.queue)]->handed.load(std::memory_order_acquire) >=
           point.value;
  };
  const auto has_not_failed = [this](TimelinePoint point) {
    // acquire: as above. The last failure only, so it may err for older points, towards asking.
    return queues_[static_cast<std::size_t>(point.queue)]->last_failure.load(std::memory_order_acquire) <
           point.value;
  };
  const TimelinePoint before{queue.id, submission.value - 1};
  if (!is_ahead(before) || (before.value != 0 && !has_not_failed(before))) return false;
  if (!std::ranges::all_of(submission.waits, is_ahead)) return false;
  if (!std::ranges::all_of(submission.dependencies, has_not_failed)) return false;
  return !cancelled_.load(std::memory_order_acquire) && !is_lost();
}

bool Queues::is_its_turn(const Queue& queue, const Item& item) const noexcept {
  if (queue.filling || !queue.flights.empty() || queue.reporting) return false;
  if (cancelled_.load(std::memory_order_acquire) || is_lost()) return true;
  if (is_captured_by_owner(queue)) return false;  // what is put on it would not run
  return std::ranges::all_of(item.submission.waits, [&](const TimelinePoint& wait) {
    // acquire: pairs with the release in report.
    return queues_[static_cast<std::size_t>(wait.queue)]->reached.load(std::memory_order_acquire) >=
           wait.value;
  });
}

bool Queues::try_begin(Queue& queue, const Submission& submission, bool plain) noexcept {
  try {
    Flight flight;
    flight.value = submission.value;
    flight.waits = submission.waits;
    flight.timed = submission.timed;
    flight.plain = plain;
    queue.flights.push_back(std::move(flight));
  } catch (const std::bad_alloc&) {
    return false;
  }
  if (submission.timed) timed_.fetch_add(1, std::memory_order_relaxed);  // relaxed: see watch
  queue.filling = true;
  return true;
}

CUresult Queues::take_event(Queue& queue, bool timed, CUevent* event) noexcept {
  {
    sync::LockGuard lock(queue.mutex);
    std::vector<CUevent>& events = timed ? queue.timed_events : queue.events;
    if (!events.empty()) {
      *event = events.back();
      events.pop_back();
      return CUDA_SUCCESS;
    }
  }
  return driver().event_create(event, timed ? CU_EVENT_DEFAULT : CU_EVENT_DISABLE_TIMING);
}

void Queues::put_event(Queue& queue, const Flight& flight) noexcept {
  if (flight.mark.event == nullptr) return;
  for (Loan& loan : queue.loans) {
    if (loan.event != flight.mark.event) continue;
    loan.in_flight = false;  // upholds C8
    return;
  }
  put_event(queue, flight.mark.event, flight.timed);
}

void Queues::put_event(Queue& queue, CUevent event, bool timed) noexcept {
  try {
    (timed ? queue.timed_events : queue.events).push_back(event);
  } catch (const std::bad_alloc&) {
    (void)driver().event_destroy(event);
  }
}

void Queues::fill(Queue& queue, std::unique_ptr<Item> item, Status refused) noexcept {
  Mark mark;
  Status failure;
  try {
    const Range range(nvtx_, nvtx_ ? "stream " + std::to_string(queue.id) : std::string());
    failure = fill_stream(queue, item->submission, &mark);
  } catch (const std::bad_alloc&) {  // while the failure was being described
    failure = failures_.no_memory;
  }
  item.reset();
  end(queue, mark, refused.ok() ? std::move(failure) : std::move(refused));
}

Status Queues::fill_stream(Queue& queue, const Submission& submission, Mark* mark) {
  const ContextScope scope(context_);
  CUevent taken = nullptr;
  CUresult result = scope.result();
  if (result == CUDA_SUCCESS) result = queue.stream.open();
  if (result == CUDA_SUCCESS && queue.stream.is_capturing()) return capture(queue, submission);
  Status usable;
  if (queue.stream.is_wrapped()) {
    sync::LockGuard lock(queue.mutex);
    usable = check(queue);
  }
  if (!usable.ok()) {
    // Upholds C7. The stream's mutex may be held, and the capture's end be what its owner needs that for.
    if (says_captured(usable) && take_event(queue, submission.timed, &taken) == CUDA_SUCCESS) {
      *mark = {taken, false};
    } else {
      queue.stream.finish();
    }
    return usable;
  }
  if (result == CUDA_SUCCESS) result = take_event(queue, submission.timed, &taken);
  if (result != CUDA_SUCCESS) {
    // Without an event it would be reported at once (C7).
    if (submission.native || queue.stream.is_wrapped()) queue.stream.finish();
    return status_of(result, "asked for a stream and an event", device_, queue.id);
  }
  Status failure;
  try {
    for (const TimelinePoint& wait : submission.waits) {
      if (failure.ok()) failure = wait_on_device(queue, wait);
    }
    if (failure.ok()) failure = put(queue, submission.operations);
  } catch (const std::bad_alloc&) {  // while the failure was being described
    failure = failures_.no_memory;
  }
  // Also after a failure: what went before it may still be running.
  result = driver().event_record(taken, queue.stream.get());
  *mark = {taken};
  if (result != CUDA_SUCCESS) usable = queue.stream.check();
  if (!usable.ok()) {
    if (says_captured(usable)) {
      mark->recorded = false;  // as above
    } else {
      *mark = {};
      (void)driver().event_destroy(taken);
      queue.stream.finish();
    }
    failure = std::move(usable);
  } else if (result != CUDA_SUCCESS) {
    // Nobody could tell any more how far the device has come.
    *mark = {};
    lose(lost_with(result, "recorded an event"));
    if (failure.ok()) failure = verdict();
  }
  return failure;
}

Status Queues::put(Queue& queue, std::span<const Operation> operations) {
  if (operations.size() == 1) {
    const Range range(nvtx_, operations.front().name);
    return queue.stream.enqueue(operations.front());
  }
  Status failure;
  try {
    for (const Operation& operation : operations) {
      const Range range(nvtx_, operation.name);
      if (failure.ok()) failure = queue.stream.gather(operation);
    }
  } catch (const std::bad_alloc&) {  // while the failure was being described
    failure = failures_.no_memory;
  }
  Status launched = queue.stream.launch_gathered();
  return failure.ok() ? launched : failure;
}

Status Queues::wait_on_device(Queue& queue, TimelinePoint point) {
  Queue& other = at(point.queue);
  // Under its mutex the event is not used for anything else meanwhile.
  sync::LockGuard lock(other.mutex);
  for (const Flight& flight : other.flights) {
    if (flight.value < point.value) continue;
    if (flight.value > point.value || flight.mark.event == nullptr) return {};
    const CUresult result = driver().stream_wait_event(queue.stream.get(), flight.mark.event, 0);
    if (result == CUDA_SUCCESS) return {};
    return status_of(result, "waited for stream " + std::to_string(point.queue), device_, queue.id);
  }
  return {};  // what is in flight no more is done
}

void Queues::end(Queue& queue, Mark mark, Status failure) noexcept {
  if (!failure.ok() && failure.error().code() == ErrorCode::DeviceLost) lose(failure);
  sync::LockGuard lock(queue.mutex);
  if (queue.abandoned) return;
  Flight& flight = queue.flights.back();
  flight.mark = mark;
  // release: pairs with the acquire in goes_ahead (C3).
  if (failure.ok()) queue.handed.store(flight.value, std::memory_order_release);
  flight.failure = std::move(failure);
  flight.ready = true;
  queue.filling = false;
  queue.finishing = false;  // in one with that: whoever fills next may be finishing
}

}  // namespace millrace::cuda
