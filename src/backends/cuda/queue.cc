#include "backends/cuda/queue.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <new>
#include <utility>
#include <variant>

#include "backends/cuda/driver.h"
#include "backends/cuda/own_queues.h"
#include "sync/clock.h"
#include "sync/signals.h"

namespace millrace::cuda {
namespace {

// How long a thread that waits for a queue looks for itself before it sleeps.
constexpr std::chrono::microseconds kAssist{50};

ErrorContext on_device(const std::string& device, int stream = -1) {
  return {.call = {}, .device = device, .stream = stream, .rule = {}};
}

}  // namespace

Queues::Queues(int queues, int workers, CompletionSink& sink, std::string device, CUcontext context,
               const Memory& memory)
    : device_(std::move(device)),
      sink_(sink),
      context_(context),
      memory_(memory),
      cancelled_status_(ErrorCode::Closed, "the process is exiting; this work did not run to its end",
                        on_device(device_)),
      stopped_status_(ErrorCode::Closed, "the device's queues have stopped; nothing can be submitted",
                      on_device(device_)),
      no_memory_status_(ErrorCode::OutOfMemory, "no host memory for the bookkeeping of a submission",
                        on_device(device_)),
      tasks_(workers) {
  for (int i = 0; i < queues; ++i) queues_.push_back(std::make_unique<Queue>(i, memory_, device_));
}

Queues::~Queues() {
  const ContextScope scope(context_);
  for (const auto& queue : queues_) {
    for (const auto* events : {&queue->events, &queue->timed_events}) {
      for (CUevent event : *events) (void)driver().event_destroy(event);
    }
    queue->stream.close();
  }
  clock_.close();
}

Status Queues::start() {
  const sync::SignalsBlocked inherited;
  {
    const ContextScope scope(context_);
    clock_.refresh();
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
  if (cancelled_.load(std::memory_order_acquire)) return cancelled_status_;
  if (!is_lost()) return {};
  sync::LockGuard lock(mutex_);
  return lost_status_;
}

bool Queues::is_valid(const Submission& submission) const noexcept {
  const auto exists = [&](QueueId queue) { return queue >= 0 && queue < size(); };
  return exists(submission.queue) &&
         std::ranges::all_of(submission.waits, [&](const TimelinePoint& wait) { return exists(wait.queue); });
}

Status Queues::submit(Submission&& submission) noexcept {
  if (!is_valid(submission)) {
    return Status(ErrorCode::InvalidArgument,
                  "submission to queue " + std::to_string(submission.queue) +
                      " names a queue that is not one of " + std::to_string(size()),
                  on_device(device_, submission.queue));
  }
  if (is_lost()) return verdict();
  try {
    auto item = std::make_unique<Item>();
    const ContextScope scope(context_);  // the driver says of which kind an address is
    item->on_host = std::ranges::any_of(submission.operations, [&](const Operation& operation) {
      return place_of(operation, memory_) == Place::host;
    });
    item->plain =
        !submission.given_up && std::ranges::none_of(submission.operations, [](const auto& operation) {
          return std::holds_alternative<TaskWork>(operation.work);
        });
    Queue& queue = at(submission.queue);
    bool ahead = false;
    {
      sync::LockGuard lock(queue.mutex);
      if (queue.abandoned) return stopped_status_;
      if (submission.value <= queue.submitted) {
        return Status(ErrorCode::InvalidArgument,
                      "submission of value " + std::to_string(submission.value) + " after value " +
                          std::to_string(queue.submitted) + "; values of a queue must grow",
                      on_device(device_, queue.id));
      }
      ahead = queue.held.empty() && goes_ahead(queue, submission, item->on_host);
      const std::uint64_t value = submission.value;
      if (ahead) {
        begin(queue, submission, true);
        item->submission = std::move(submission);
      } else {
        queue.held.emplace_back();
        item->submission = std::move(submission);
        queue.held.back() = std::move(item);
      }
      queue.submitted = value;
      // seq_cst: with the load in wake and the watcher's in doze, one of us sees the other (C6).
      queue.underway.fetch_add(1, std::memory_order_seq_cst);
    }
    if (ahead) fill(queue, std::move(item));
    wake(ahead ? Urgency::low : Urgency::high);
    return {};
  } catch (const std::bad_alloc&) {
    return no_memory_status_;
  }
}

bool Queues::goes_ahead(const Queue& queue, const Submission& submission, bool on_host) const noexcept {
  if (on_host || submission.given_up || queue.filling) return false;
  // oldest: of those up to value whose failure counts.
  const auto is_safe = [](const Queue& other, std::uint64_t value, std::uint64_t oldest) {
    // acquire: pairs with the release in end and report, so that a failure before it is seen (C3).
    return other.handed.load(std::memory_order_acquire) >= value &&
           (oldest == 0 || other.last_failure.load(std::memory_order_acquire) < oldest);
  };
  const std::uint64_t before = submission.value - 1;
  const std::uint64_t oldest =
      submission.oldest_dependency == 0 ? before : std::min(before, submission.oldest_dependency);
  if (!is_safe(queue, before, oldest)) return false;
  for (const TimelinePoint& wait : submission.waits) {
    if (!is_safe(*queues_[static_cast<std::size_t>(wait.queue)], wait.value, wait.value)) return false;
  }
  return !cancelled_.load(std::memory_order_acquire) && !is_lost();
}

bool Queues::is_its_turn(const Queue& queue, const Item& item) const noexcept {
  if (queue.filling || !queue.flights.empty() || queue.reporting) return false;
  if (cancelled_.load(std::memory_order_acquire) || is_lost()) return true;
  return std::ranges::all_of(item.submission.waits, [&](const TimelinePoint& wait) {
    // acquire: pairs with the release in report.
    return queues_[static_cast<std::size_t>(wait.queue)]->reached.load(std::memory_order_acquire) >=
           wait.value;
  });
}

void Queues::begin(Queue& queue, const Submission& submission, bool plain) {
  Flight flight;
  flight.value = submission.value;
  flight.waits = submission.waits;
  flight.timed = submission.timed;
  flight.plain = plain;
  queue.flights.push_back(std::move(flight));
  queue.filling = true;
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
  if (flight.event == nullptr) return;
  try {
    (flight.timed ? queue.timed_events : queue.events).push_back(flight.event);
  } catch (const std::bad_alloc&) {
    (void)driver().event_destroy(flight.event);
  }
}

void Queues::fill(Queue& queue, std::unique_ptr<Item> item) noexcept {
  CUevent event = nullptr;
  Status failure = fill_stream(queue, item->submission, &event);
  item.reset();
  end(queue, event, std::move(failure));
}

Status Queues::fill_stream(Queue& queue, const Submission& submission, CUevent* event) noexcept {
  const ContextScope scope(context_);
  CUevent taken = nullptr;
  CUresult result = scope.result();
  if (result == CUDA_SUCCESS) result = queue.stream.open();
  if (result == CUDA_SUCCESS) result = take_event(queue, submission.timed, &taken);
  if (result != CUDA_SUCCESS) return status_of(result, "asked for a stream and an event", device_, queue.id);
  Status failure;
  for (const TimelinePoint& wait : submission.waits) {
    if (failure.ok()) failure = wait_on_device(queue, wait);
  }
  for (const Operation& operation : submission.operations) {
    if (failure.ok()) failure = queue.stream.enqueue(operation);
  }
  // Also after a failure: what went before it may still be running.
  result = driver().event_record(taken, queue.stream.get());
  *event = taken;
  if (failure.ok()) failure = status_of(result, "recorded an event", device_, queue.id);
  return failure;
}

Status Queues::wait_on_device(Queue& queue, TimelinePoint point) noexcept {
  Queue& other = at(point.queue);
  // Under its mutex the event is not used for anything else meanwhile.
  sync::LockGuard lock(other.mutex);
  for (const Flight& flight : other.flights) {
    if (flight.value < point.value) continue;
    if (flight.event == nullptr) return {};
    return status_of(driver().stream_wait_event(queue.stream.get(), flight.event, 0),
                     "waited for stream " + std::to_string(point.queue), device_, queue.id);
  }
  return {};  // what is in flight no more is done
}

void Queues::end(Queue& queue, CUevent event, Status failure) noexcept {
  if (!failure.ok() && failure.error().code() == ErrorCode::DeviceLost) lose(failure);
  sync::LockGuard lock(queue.mutex);
  if (queue.abandoned) return;
  Flight& flight = queue.flights.back();
  flight.event = event;
  // release: pairs with the acquire in goes_ahead (C3).
  if (failure.ok()) queue.handed.store(flight.value, std::memory_order_release);
  flight.failure = std::move(failure);
  flight.ready = true;
  queue.filling = false;
}

Queues::Outcome Queues::look(const Flight& flight, Status& status, sync::Clock::time_point& when) noexcept {
  status = flight.failure;
  when = sync::now();
  if (flight.event == nullptr) return Outcome::done;
  if (is_lost()) {
    if (status.ok()) status = verdict();
    return Outcome::done;
  }
  const ContextScope scope(context_);
  const CUresult result = driver().event_query(flight.event);
  if (result == CUDA_ERROR_NOT_READY) return Outcome::unfinished;
  if (result == CUDA_SUCCESS) {
    if (flight.timed) when = clock_.when(flight.event, when);
    return Outcome::done;
  }
  Status failed = status_of(result, "work that was on the device did not end well", device_);
  if (is_fatal(result)) lose(failed);
  if (status.ok()) status = std::move(failed);
  return Outcome::done;
}

bool Queues::waits_are_reported(const Flight& flight, bool plain_only) noexcept {
  return std::ranges::all_of(flight.waits, [&](const TimelinePoint& wait) {
    Queue& other = at(wait.queue);
    const auto is_reported = [&] {
      // acquire: pairs with the release in report.
      return other.reached.load(std::memory_order_acquire) >= wait.value;
    };
    // Waits never circle. Where another thread reports for that queue, we come back.
    while (!is_reported() && report(other, plain_only)) {
    }
    return is_reported();
  });
}

bool Queues::report(Queue& queue, bool plain_only) noexcept {
  bool any = false;
  sync::UniqueLock lock(queue.mutex);
  if (queue.reporting || queue.abandoned) return false;
  queue.reporting = true;
  while (!queue.flights.empty() && queue.flights.front().ready) {
    // It stays where it is while others are added behind it.
    const Flight& front = queue.flights.front();
    if (plain_only && !front.plain) break;
    lock.unlock();
    Status status;
    sync::Clock::time_point when;
    const bool done = look(front, status, when) == Outcome::done && waits_are_reported(front, plain_only);
    lock.lock();
    if (!done) break;
    const Flight flight = std::move(queue.flights.front());
    queue.flights.pop_front();
    put_event(queue, flight);
    // release: before handed and reached; pairs with the acquire in goes_ahead (C3).
    if (!status.ok()) queue.last_failure.store(flight.value, std::memory_order_release);
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
  queue.reporting = false;
  return any;
}

bool Queues::advance(Queue& queue, bool plain_only) noexcept {
  std::unique_ptr<Item> item;
  bool ahead = false;
  {
    sync::LockGuard lock(queue.mutex);
    if (queue.held.empty() || queue.abandoned) return false;
    const Item& front = *queue.held.front();
    if (plain_only && !front.plain) return false;
    ahead = goes_ahead(queue, front.submission, front.on_host);
    if (!ahead && !is_its_turn(queue, front)) return false;
    try {
      begin(queue, front.submission, front.plain);
    } catch (const std::bad_alloc&) {
      return false;  // the next look may find memory
    }
    item = std::move(queue.held.front());
    queue.held.pop_front();
  }
  if (ahead) {
    fill(queue, std::move(item));
    return true;
  }
  Status refused = verdict();
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
    try {
      tasks_.run([this, &queue, value] {
        if (take_offer(queue, value)) run(queue);
      });
      return true;
    } catch (const std::bad_alloc&) {
      if (!take_offer(queue, value)) return true;
      refused = no_memory_status_;
      item = std::move(queue.running);
    }
  }
  {
    const OwnScope own(this);
    item.reset();  // before anybody hears of it: what tasks captured is free by then
  }
  end(queue, nullptr, std::move(refused));
  (void)report(queue, plain_only);
  return true;
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
    queue.offered = 0;
  }
  const OwnScope own(this);
  run(queue);
  return true;
}

void Queues::run(Queue& queue) noexcept {
  Status failure = run_operations(queue);
  {
    sync::LockGuard lock(queue.mutex);
    if (queue.abandoned) return;  // what destroying the item would touch may be gone by now
    queue.finishing = true;
  }
  queue.running.reset();
  end(queue, nullptr, std::move(failure));
  {
    sync::LockGuard lock(queue.mutex);
    queue.finishing = false;
  }
  (void)report(queue, false);
  wake(Urgency::high);
}

Status Queues::run_operations(Queue& queue) noexcept {
  const ContextScope scope(context_);
  CUresult opened = scope.result();
  if (opened == CUDA_SUCCESS) opened = queue.stream.open();
  if (opened != CUDA_SUCCESS) return status_of(opened, "asked for a stream", device_, queue.id);
  for (const Operation& operation : queue.running->submission.operations) {
    if (Status over = verdict(); !over.ok()) return over;
    const auto failed = [&](const char* why) {
      return Status(ErrorCode::WorkFailed, "operation \"" + operation.name + "\" failed: " + why,
                    on_device(device_, queue.id));
    };
    try {
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
  const sync::Clock::time_point end = sync::now() + kAssist;
  do {
    if (report(queue, true)) {
      wake(Urgency::high);  // what is held may wait for it
      return true;
    }
    if (advance(queue, true) || run_copies(queue)) return true;
    sync::LockGuard lock(queue.mutex);
    if (queue.flights.empty() || !queue.flights.front().plain) return false;
  } while (sync::now() < end);
  return false;
}

}  // namespace millrace::cuda
