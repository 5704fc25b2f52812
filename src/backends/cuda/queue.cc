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
namespace {

// How long whoever waits looks at the device without a pause, and how long in all, with pauses of a part of
// what has passed. A thread that sleeps is late by what the watcher's pause and its own waking take, 50 to
// 100 us.
constexpr std::chrono::microseconds kLookSteadily{50};
constexpr std::chrono::microseconds kAssist{2000};
constexpr int kPausePart = 32;
// How long a chain of queues is reported in one go. Threads with small stacks may be the ones that report.
constexpr int kDeepest = 8;

ErrorContext on_device(const std::string& device, int stream = -1) {
  return {.call = {}, .device = device, .stream = stream, .rule = {}};
}

}  // namespace

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
                  on_device(device_));
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
  if (is_lost()) return refused;                  // nothing is done there any more
  if (native || at(queue).stream.is_wrapped()) {  // upholds C7
    const ContextScope scope(context_);
    at(queue).stream.finish();
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
  if (Status usable = queue.stream.check(); !usable.ok()) {
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
    for (const Operation& operation : submission.operations) {
      const Range range(nvtx_, operation.name);
      if (failure.ok()) failure = queue.stream.enqueue(operation);
    }
  } catch (const std::bad_alloc&) {  // while the failure was being described
    failure = failures_.no_memory;
  }
  // Also after a failure: what went before it may still be running.
  result = driver().event_record(taken, queue.stream.get());
  *mark = {taken};
  if (Status usable = result == CUDA_SUCCESS ? Status() : queue.stream.check(); !usable.ok()) {
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
                  on_device(device_));
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

bool Queues::advance(Queue& queue, bool plain_only) noexcept {
  std::unique_ptr<Item> item;
  bool ahead = false;
  {
    sync::LockGuard lock(queue.mutex);
    if (queue.held.empty() || queue.given_up) return false;
    const Item& front = *queue.held.front();
    if (plain_only && !front.plain) return false;
    ahead = goes_ahead(queue, front.submission, front.on_host);
    if (!ahead && !is_its_turn(queue, front)) return false;
    if (!try_begin(queue, front.submission, front.plain)) return false;  // the next look may find memory
    item.reset(queue.held.pop_front());
  }
  if (ahead) {
    fill(queue, std::move(item));
    return true;
  }
  Status refused = verdict();
  if (refused.ok() && stopped_.load(std::memory_order_acquire)) refused = failures_.stopped;  // see submit
  if (refused.ok()) refused = sink_.may_run(item->submission);
  if (refused.ok() && !item->on_host) {
    fill(queue, std::move(item));
    return true;
  }
  if (refused.ok()) {
    const std::uint64_t value = item->submission.value;
    {
      sync::LockGuard lock(queue.mutex);
      queue.running = std::move(item);
      queue.offered = value;
    }
    bool accepted = false;
    try {
      accepted = tasks_.run([this, &queue, value] {
        if (take_offer(queue, value)) run(queue);
      });
    } catch (const std::bad_alloc&) {
      accepted = false;
    }
    if (accepted || !take_offer(queue, value)) return true;
    refused = failures_.no_memory;
    item = std::move(queue.running);
  }
  if (!begin_finishing(queue)) {
    queue.running = std::move(item);  // what destroying it would touch may be gone by now
    return true;
  }
  {
    const OwnScope own(this);
    // Before anybody hears of it: what tasks captured is free by then.
    if (queue.stream.is_wrapped()) {
      item->submission.operations.clear();
      item->submission.waits.clear();
    } else {
      item.reset();
    }
  }
  if (item) {
    fill(queue, std::move(item), std::move(refused));  // upholds C7
  } else {
    end(queue, {}, std::move(refused));
  }
  (void)report(queue, plain_only);
  return true;
}

bool Queues::begin_finishing(Queue& queue) noexcept {
  sync::LockGuard lock(queue.mutex);
  queue.finishing = !queue.abandoned;
  return queue.finishing;
}

bool Queues::take_offer(Queue& queue, std::uint64_t value) noexcept {
  sync::LockGuard lock(queue.mutex);
  if (queue.offered != value) return false;
  queue.offered = 0;
  return true;
}

bool Queues::run_copies(Queue& queue) noexcept {
  {
    sync::LockGuard lock(queue.mutex);
    if (queue.offered == 0 || !queue.running->plain) return false;
    if (is_captured_by_owner(queue)) return false;  // it would wait for the capture's end, which may be ours
    queue.offered = 0;
  }
  const OwnScope own(this);
  run(queue);
  return true;
}

void Queues::run(Queue& queue) noexcept {
  Status failure;
  try {
    failure = run_operations(queue);
  } catch (const std::bad_alloc&) {  // while the failure was being described
    failure = failures_.no_memory;
  }
  if (!begin_finishing(queue)) return;  // as in advance
  queue.running.reset();
  end(queue, {}, std::move(failure));
  (void)report(queue, false);
  wake(Urgency::high);
}

Status Queues::run_operations(Queue& queue) {
  const Range range(nvtx_, nvtx_ ? "stream " + std::to_string(queue.id) : std::string());
  if (queue.stream.is_wrapped()) {
    // What its owner has put on it comes first (C7).
    const ContextScope scope(context_);
    const Status usable = queue.stream.check();
    queue.stream.finish();
    if (!usable.ok()) return usable;
  }
  for (const Operation& operation : queue.running->submission.operations) {
    if (Status over = verdict(); !over.ok()) return over;
    // Each with the context anew: a task may leave another one behind.
    const ContextScope scope(context_);
    CUresult opened = scope.result();
    if (opened == CUDA_SUCCESS) opened = queue.stream.open();
    if (opened != CUDA_SUCCESS) return status_of(opened, "asked for a stream", device_, queue.id);
    const auto failed = [&](const char* why) {
      return Status(ErrorCode::WorkFailed, "operation \"" + operation.name + "\" failed: " + why,
                    on_device(device_, queue.id));
    };
    try {
      const Range own_range(nvtx_, operation.name);
      if (Status status = queue.stream.run(operation); !status.ok()) return status;
    } catch (const std::exception& error) {
      return failed(error.what());
    } catch (...) {
      return failed("it threw something that is not a std::exception");
    }
  }
  return {};
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
