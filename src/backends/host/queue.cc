#include "backends/host/queue.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <new>
#include <utility>

#include "backends/host/execute.h"
#include "sync/clock.h"
#include "sync/signals.h"
#include "sync/thread_slot.h"

namespace millrace::host {
namespace {

// What operations that run when the process exits are given to end.
constexpr std::chrono::seconds kGrace{2};
// Longer than it takes a thread to submit again after it saw a completion, shorter than anybody notices.
constexpr std::chrono::microseconds kSpin{20};

struct WorkerTag;
using OwnQueues = sync::ThreadSlot<WorkerTag, const Queues>;  // never opened: no hook when the thread ends

}  // namespace

Queues::Queues(int queues, int workers, CompletionSink& sink, std::string device,
               std::optional<std::uint64_t> chaos)
    : size_(queues),
      sink_(sink),
      device_(std::move(device)),
      chaos_(chaos),
      failures_(device_),
      strands_(static_cast<std::size_t>(queues)),
      workers_(static_cast<std::size_t>(workers)) {
  for (int i = 0; i < queues; ++i) strands_[static_cast<std::size_t>(i)].id = i;
}

Status Queues::start() {
  const sync::SignalsBlocked inherited;
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    try {
      workers_[i].thread =
          sync::Thread([self = sync::Ref<Queues>::share(this), i] { self->work(static_cast<int>(i)); });
    } catch (const std::exception& error) {
      (void)stop();  // nothing runs yet, so it only joins
      return Status(ErrorCode::OutOfMemory,
                    "asked for " + std::to_string(workers_.size()) +
                        " worker threads, but the system made only " + std::to_string(i) + " (" +
                        error.what() +
                        "); set DeviceOptions::workers lower or raise the process's thread and memory limits",
                    {.call = {}, .device = device_, .stream = -1, .rule = {}});
    }
  }
  return {};
}

bool Queues::cancelled() const noexcept {
  // acquire: pairs with the release in cancel, so that whoever stops sees why.
  return cancelled_.load(std::memory_order_acquire);
}

bool Queues::on_own_thread() const noexcept {
  return OwnQueues::get() == this;
}

std::vector<std::uint64_t> Queues::reported() const {
  sync::LockGuard lock(mutex_);
  std::vector<std::uint64_t> values;
  values.reserve(strands_.size());
  for (const Strand& strand : strands_) {
    // relaxed: who learned of a completion from the sink sees at least that one.
    values.push_back(strand.reported.load(std::memory_order_relaxed));
  }
  return values;
}

Status Queues::submit(Submission&& submission, Status refused) noexcept {
  try {
    if (!submission.holder) submission.holder = make_holder();
    sync::LockGuard lock(mutex_);
    if (stopping_) return failures_.stopped;
    Strand& strand = strands_[static_cast<std::size_t>(submission.queue)];
    if (Status refused_value = failures_.check_value(submission, strand.submitted); !refused_value.ok())
      return refused_value;
    for (const TimelinePoint& wait : submission.waits) {
      const Strand& other = strands_[static_cast<std::size_t>(wait.queue)];
      if (Status refused_wait = failures_.check_wait(submission, wait, other.submitted); !refused_wait.ok())
        return refused_wait;
    }
    auto* const item = static_cast<Item*>(submission.holder.release());
    item->submission = std::move(submission);
    item->refused = std::move(refused);
    strand.submitted = item->submission.value;
    strand.pending.push_back(item);
    if (!strand.busy) {
      advance(strand);
      wake_workers(0);
    }
    return {};
  } catch (const std::bad_alloc&) {
    return failures_.no_memory;
  }
}

void Queues::advance(Strand& strand) {
  strand.busy = !strand.pending.empty();
  if (!strand.busy) return;
  const std::vector<TimelinePoint>& waits = strand.pending.front()->submission.waits;
  for (; strand.next_wait < waits.size() && !cancelled(); ++strand.next_wait) {
    const TimelinePoint& wait = waits[strand.next_wait];
    Strand& other = strands_[static_cast<std::size_t>(wait.queue)];
    if (wait.value <= other.reached) continue;
    strand.waits_for = wait.value;
    Strand** place = &other.waiters;
    while (*place != nullptr && (*place)->waits_for <= wait.value) place = &(*place)->next;
    strand.next = *place;
    *place = &strand;
    return;
  }
  strand.next_wait = 0;
  push_ready(strand);
}

void Queues::reach(Strand& strand, std::uint64_t value) {
  strand.reached = value;
  while (strand.waiters != nullptr && strand.waiters->waits_for <= value) {
    Strand& waiter = *strand.waiters;
    strand.waiters = waiter.next;
    advance(waiter);
  }
  advance(strand);
}

void Queues::push_ready(Strand& strand) {
  strand.next = nullptr;
  strand.ready = true;
  (ready_tail_ == nullptr ? ready_head_ : ready_tail_->next) = &strand;
  ready_tail_ = &strand;
  ++ready_count_;
  // relaxed: a hint; the spinner looks again under the mutex.
  ready_hint_.store(ready_count_, std::memory_order_relaxed);
}

Queues::Strand& Queues::take_ready(std::size_t position) {
  Strand* before = nullptr;
  Strand* strand = ready_head_;
  for (std::size_t i = 0; i < position; ++i) {
    before = strand;
    strand = strand->next;
  }
  take_ready(*strand, before);
  return *strand;
}

void Queues::take_ready(Strand& strand, Strand* before) {
  (before == nullptr ? ready_head_ : before->next) = strand.next;
  if (ready_tail_ == &strand) ready_tail_ = before;
  strand.ready = false;
  --ready_count_;
  ready_hint_.store(ready_count_, std::memory_order_relaxed);  // relaxed: see push_ready
}

void Queues::wake_workers(std::size_t helpers) {
  helpers += waking_ + (spinning_ ? 1 : 0);
  for (; sleeping_ > 0 && helpers < ready_count_; ++helpers) wake_one();
}

void Queues::wake_one() {
  --sleeping_;
  ++waking_;
  idle_.notify_one();
}

void Queues::wake_all() {
  waking_ += sleeping_;
  sleeping_ = 0;
  idle_.notify_all();
}

void Queues::spin() {
  spinning_ = true;
  mutex_.unlock();
  const sync::Clock::time_point end = sync::now() + kSpin;
  // relaxed: a hint; the caller looks again under the mutex.
  while (ready_hint_.load(std::memory_order_relaxed) == 0 && !spread_hint_.load(std::memory_order_relaxed) &&
         sync::now() < end) {
    sync::yield();
  }
  mutex_.lock();
  spinning_ = false;
}

Queues::Strand* Queues::next_strand(sync::UniqueLock& lock, int index, Chaos& chaos) {
  while (!given_up_ && ready_count_ == 0) {
    if (spreads_ != nullptr) {
      help(index);
      continue;
    }
    if (stopping_) return nullptr;
    if (!spinning_) {
      spin();
      if (ready_count_ > 0 || spreads_ != nullptr || stopping_) continue;
    }
    ++sleeping_;
    while (waking_ == 0) idle_.wait(lock);
    --waking_;
  }
  // What is still listed then is report_rest's.
  if (given_up_) return nullptr;
  return &take_ready(chaos.pick(ready_count_));
}

class Queues::Crew final : public Workers {
 public:
  Crew(Queues& queues, int index) noexcept : queues_(queues), index_(index) {}
  // One more than there are workers: whoever assists.
  int count() const noexcept override { return static_cast<int>(queues_.workers_.size()) + 1; }
  void for_each(std::int64_t units, Body body, void* context) noexcept override {
    Spread spread{body, context, units};
    queues_.spread(spread, index_);
  }

 private:
  Queues& queues_;
  const int index_;
};

void Queues::spread(Spread& spread, int index) noexcept {
  {
    sync::LockGuard lock(mutex_);
    spread.next_spread = spreads_;
    spreads_ = &spread;
    spread_hint_.store(true, std::memory_order_relaxed);  // relaxed: see spin
    for (std::int64_t wanted = spread.units - 1; wanted > 0 && sleeping_ > 0; --wanted) wake_one();
  }
  // relaxed: units are independent; the mutex hands over what helpers did.
  for (std::int64_t unit = spread.next.fetch_add(1, std::memory_order_relaxed); unit < spread.units;
       unit = spread.next.fetch_add(1, std::memory_order_relaxed)) {
    spread.body(spread.context, unit, index);
  }
  // Helpers are in the middle of their last unit at most: this waits for nothing but running code.
  sync::UniqueLock lock(mutex_);
  unlist(spread);
  while (spread.helpers > 0) helped_.wait(lock);
}

void Queues::help(int index) {
  Spread& spread = *spreads_;
  ++spread.helpers;
  mutex_.unlock();
  // relaxed both: a hint, and independent units.
  while (ready_hint_.load(std::memory_order_relaxed) == 0) {
    const std::int64_t unit = spread.next.fetch_add(1, std::memory_order_relaxed);
    if (unit >= spread.units) break;
    spread.body(spread.context, unit, index);
  }
  mutex_.lock();
  if (spread.next.load(std::memory_order_relaxed) >= spread.units) unlist(spread);
  if (--spread.helpers == 0) helped_.notify_all();
}

void Queues::unlist(Spread& spread) {
  for (Spread** place = &spreads_; *place != nullptr; place = &(*place)->next_spread) {
    if (*place != &spread) continue;
    *place = spread.next_spread;
    break;
  }
  spread_hint_.store(spreads_ != nullptr, std::memory_order_relaxed);  // relaxed: see spin
}

void Queues::work(int index) noexcept {
  OwnQueues::set(this);
  char name[16];  // what the system allows
  std::snprintf(name, sizeof name, "millrace-%d", index);
  pthread_setname_np(pthread_self(), name);
  Chaos chaos(chaos_, index);
  Crew crew(*this, index);

  sync::UniqueLock lock(mutex_);
  while (Strand* strand = next_strand(lock, index, chaos)) {
    if (!take_turn(*strand, crew, chaos, 1)) {
      OwnQueues::forget();
      return;
    }
    if (given_up_) break;
  }
  OwnQueues::forget();
  workers_[static_cast<std::size_t>(index)].ended = true;
  ended_.notify_all();
}

bool Queues::take_turn(Strand& strand, Crew& crew, Chaos& chaos, std::size_t helpers) {
  strand.current.reset(strand.pending.pop_front());
  const TimelinePoint point{strand.id, strand.current->submission.value};
  strand.running = point.value;
  // relaxed: stop reads it only after it took the mutex, which we hold here.
  strand.phase.store(Phase::running, std::memory_order_relaxed);
  mutex_.unlock();

  const Status status = run(*strand.current, crew, chaos);
  const sync::Clock::time_point finished = sync::now();
  Phase expected = Phase::running;
  // acq_rel: decides with the exchange in report_rest who reports the point (Q2). If that did, the item
  // stays: what destroying it would touch may be gone by now.
  if (!strand.phase.compare_exchange_strong(expected, Phase::reporting, std::memory_order_acq_rel,
                                            std::memory_order_acquire)) {
    mutex_.lock();  // it is there: stop keeps it forever then
    return false;
  }
  strand.current.reset();  // before anybody hears of the completion: what tasks captured is free by then
  chaos.delay();
  strand.reported.store(point.value, std::memory_order_relaxed);  // relaxed: the sink publishes it
  sink_.completed(point, status, finished);

  mutex_.lock();
  if (given_up_) {
    mutex_.unlock();
    report_pending(strand);  // stop has left them to us
    mutex_.lock();
    return true;
  }
  // relaxed: stop reads it under the mutex.
  strand.phase.store(Phase::none, std::memory_order_relaxed);
  reach(strand, point.value);
  wake_workers(helpers);
  return true;
}

bool Queues::assist(QueueId queue) noexcept {
  if (chaos_) return false;  // its order is the workers'
  sync::UniqueLock lock(mutex_);
  Strand& strand = strands_[static_cast<std::size_t>(queue)];
  if (!strand.ready || stopping_ || cancelled()) return false;
  // Code of the user's must not find itself on a thread that holds the user's locks: no tasks, and not the
  // destruction of those that were given up, whose submissions are empty.
  const std::vector<Operation>& operations = strand.pending.front()->submission.operations;
  if (operations.empty()) return false;
  for (const Operation& operation : operations) {
    if (std::holds_alternative<TaskWork>(operation.work)) return false;
  }
  Strand* before = nullptr;
  for (Strand* each = ready_head_; each != &strand; each = each->next) before = each;
  take_ready(strand, before);
  ++assisting_;
  const Queues* const outer = OwnQueues::get();  // another device's worker may wait for this one
  OwnQueues::set(this);
  Crew crew(*this, static_cast<int>(workers_.size()));
  Chaos chaos(chaos_, 0);
  const bool goes_on = take_turn(strand, crew, chaos, 0);
  OwnQueues::set(outer);
  if (goes_on && --assisting_ == 0 && stopping_) ended_.notify_all();
  return true;
}

Status Queues::run(const Item& item, Workers& crew, Chaos& chaos) noexcept {
  if (cancelled()) return failures_.cancelled;
  if (!item.refused.ok()) return item.refused;
  if (Status verdict = sink_.may_run(item.submission); !verdict.ok()) return verdict;
  try {
    for (const Operation& operation : item.submission.operations) {
      chaos.delay();
      if (cancelled()) return failures_.cancelled;
      if (Status status = execute(operation, crew, device_, item.submission.queue); !status.ok())
        return status;
    }
    return {};
  } catch (const std::bad_alloc&) {  // while the failure was being described
    return failures_.no_memory;
  }
}

void Queues::cancel() noexcept {
  sync::LockGuard lock(mutex_);
  // release: pairs with the acquire in cancelled.
  cancelled_.store(true, std::memory_order_release);
  for (Strand& strand : strands_) {
    while (strand.waiters != nullptr) {
      Strand& waiter = *strand.waiters;
      strand.waiters = waiter.next;
      advance(waiter);  // no wait counts any more
    }
  }
  wake_workers(0);
}

std::size_t Queues::running_workers() const {
  return static_cast<std::size_t>(std::count_if(workers_.begin(), workers_.end(), [](const Worker& worker) {
    return worker.thread.joinable() && !worker.ended;
  }));
}

bool Queues::stop() noexcept {
  std::size_t running = 0;
  {
    sync::UniqueLock lock(mutex_);
    stopping_ = true;
    wake_all();
    if (cancelled()) {
      const sync::Clock::time_point deadline = sync::now() + kGrace;
      const std::size_t self = on_own_thread() ? 1 : 0;  // called by an operation or handler: never ends
      while (running_workers() + assisting_ > self && ended_.wait_until(lock, deadline)) {
      }
      running = running_workers() + assisting_;
      given_up_ = running > 0;
    } else {
      // What was submitted has been reported; they are on their way out.
      while (assisting_ > 0) ended_.wait(lock);
    }
  }
  for (Worker& worker : workers_) {
    if (!worker.thread.joinable()) continue;
    bool join = !worker.thread.is_this_thread();
    if (join && running > 0) {
      sync::LockGuard lock(mutex_);
      join = worker.ended;
    }
    join ? worker.thread.join() : worker.thread.detach();
  }
  if (running == 0) return true;
  keep_forever(sync::Ref<Queues>::share(this));
  report_rest();
  return false;
}

void Queues::keep_forever(sync::Ref<Queues> queues) noexcept {
  static constinit sync::MpscList<Queues> kept;
  kept.push(queues.release());
}

void Queues::report_rest() noexcept {
  for (std::size_t i = 0; i < static_cast<std::size_t>(size_); ++i) {
    Strand* strand = nullptr;
    TimelinePoint point;
    Phase found = Phase::running;
    {
      sync::LockGuard lock(mutex_);
      strand = &strands_[i];
      point = {strand->id, strand->running};
      // acq_rel: decides with the exchange in take_turn who reports the point (Q2).
      strand->phase.compare_exchange_strong(found, Phase::abandoned, std::memory_order_acq_rel,
                                            std::memory_order_acquire);
    }
    // What follows must come after what its worker is reporting now: that worker reports it, too.
    if (found == Phase::reporting) continue;
    if (found == Phase::running) sink_.completed(point, failures_.cancelled, sync::now());
    report_pending(*strand);
  }
}

void Queues::report_pending(Strand& strand) noexcept {
  for (;;) {
    TimelinePoint point;
    std::unique_ptr<Item> item;
    {
      sync::LockGuard lock(mutex_);
      if (strand.pending.empty()) return;
      item.reset(strand.pending.pop_front());
      point = {strand.id, item->submission.value};
    }
    item.reset();
    sink_.completed(point, failures_.cancelled, sync::now());
  }
}

}  // namespace millrace::host
