// The thread that watches the device, and the end of it all.
#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>
#include <utility>

#include "backends/cuda/driver.h"
#include "backends/cuda/own_queues.h"
#include "backends/cuda/queue.h"
#include "sync/clock.h"
#include "sync/mpsc_list.h"

namespace millrace::cuda {
namespace {

// What work that runs when the process exits is given to end.
constexpr std::chrono::seconds kGrace{2};
// How long the watcher looks without a pause after something was done, and the pauses after that.
constexpr std::chrono::microseconds kBusy{30};
constexpr std::chrono::microseconds kShortestPause{20};
constexpr std::chrono::microseconds kLongestPause{200};
// How long there must have been nothing before the watcher sleeps until it is woken, which costs who wakes
// it.
constexpr std::chrono::milliseconds kSleepAfter{2};

}  // namespace

std::uint64_t Queues::underway() const noexcept {
  std::uint64_t all = 0;
  // seq_cst: see submit (C6).
  for (const auto& queue : queues_) all += queue->underway.load(std::memory_order_seq_cst);
  return all;
}

void Queues::wake(Urgency urgency) noexcept {
  // seq_cst: with the watcher's store, after what we added, one of us sees the other (C6).
  const Doze doze = doze_.load(std::memory_order_seq_cst);
  if (doze == Doze::none || (doze == Doze::nap && urgency == Urgency::low)) return;
  sync::LockGuard lock(mutex_);
  wake_ = true;
  woken_.notify_one();
}

void Queues::nap(sync::Clock::time_point until) noexcept {
  sync::UniqueLock lock(mutex_);
  doze_.store(Doze::nap, std::memory_order_seq_cst);  // see wake
  while (!wake_ && woken_.wait_until(lock, until)) {
  }
  wake_ = false;
  doze_.store(Doze::none, std::memory_order_relaxed);
}

void Queues::sleep() noexcept {
  sync::UniqueLock lock(mutex_);
  doze_.store(Doze::sleep, std::memory_order_seq_cst);  // see wake (C6)
  while (!wake_ && !stopping_ && underway() == 0) woken_.wait(lock);
  wake_ = false;
  doze_.store(Doze::none, std::memory_order_relaxed);
}

void Queues::watch() noexcept {
  pthread_setname_np(pthread_self(), "millrace-watch");
  OwnQueues::set(this);
  sync::Clock::time_point last_moved = sync::now();
  for (;;) {
    bool moved = false;
    bool underway = false;
    for (const auto& queue : queues_) {
      if (queue->underway.load(std::memory_order_seq_cst) == 0) continue;  // see submit (C6)
      underway = true;
      moved = report(*queue, false) || moved;
      while (advance(*queue, false)) moved = true;
    }
    // relaxed: a hint; a clock that is old is only less exact.
    if (timed_.load(std::memory_order_relaxed) != 0) {
      const ContextScope scope(context_);
      clock_.refresh();
    }
    if (moved) {
      last_moved = sync::now();
      continue;
    }
    {
      sync::LockGuard lock(mutex_);
      if (stopping_ && (!underway || cancelled_.load(std::memory_order_acquire))) break;
    }
    const sync::Clock::time_point now = sync::now();
    const sync::Clock::duration quiet = now - last_moved;
    if (!underway && quiet > kSleepAfter) {
      sleep();
      last_moved = sync::now();
    } else if (underway && quiet < kBusy) {
      sync::yield();
    } else {
      nap(now + std::clamp<sync::Clock::duration>(quiet / 16, kShortestPause, kLongestPause));
    }
  }
  OwnQueues::forget();
  sync::LockGuard lock(mutex_);
  watcher_ended_ = true;
  woken_.notify_all();
}

void Queues::cancel() noexcept {
  cancelled_.store(true, std::memory_order_release);  // pairs with the acquire in verdict
  wake(Urgency::high);
}

bool Queues::stop() noexcept {
  const bool cancelled = cancelled_.load(std::memory_order_acquire);
  const sync::Clock::time_point deadline = sync::now() + kGrace;
  const std::uint64_t own = on_own_thread() ? 1 : 0;  // called by a task: that one never ends
  while (cancelled && underway() > own && sync::now() < deadline) sync::sleep_for(kLongestPause);
  stopped_.store(true, std::memory_order_release);  // pairs with the acquire in submit
  bool watcher_ended = false;
  {
    sync::UniqueLock lock(mutex_);
    stopping_ = true;
    wake_ = true;
    woken_.notify_all();
    // Code of the user's that it destroys may never come back.
    while (!watcher_ended_ && watcher_.joinable() && !watcher_.is_this_thread()) {
      if (!cancelled) {
        woken_.wait(lock);
      } else if (!woken_.wait_until(lock, deadline)) {
        break;
      }
    }
    watcher_ended = watcher_ended_ || !watcher_.joinable();  // none where the start failed
  }
  if (watcher_.joinable()) watcher_ended ? watcher_.join() : watcher_.detach();
  const bool tasks_ended = tasks_.stop(cancelled ? sync::Deadline(deadline) : std::nullopt);
  if (watcher_ended && tasks_ended && underway() == 0) return true;
  keep_forever(sync::Ref<Queues>::share(this));
  report_rest(deadline);
  return false;
}

void Queues::keep_forever(sync::Ref<Queues> queues) noexcept {
  static constinit sync::MpscList<Queues> kept;
  kept.push(queues.release());
}

void Queues::report_rest(sync::Clock::time_point deadline) noexcept {
  for (const auto& queue : queues_) {
    sync::UniqueLock lock(queue->mutex);
    // Whoever is reporting may be destroying code of the user's that never comes back; if it does, it reports
    // the rest of the queue, which has to come after what it is at.
    while ((queue->reporting || queue->finishing) && sync::now() < deadline) {
      lock.unlock();
      sync::yield();
      lock.lock();
    }
    queue->given_up = true;
    if (!queue->reporting && !queue->finishing) report_left(*queue, false);
  }
}

void Queues::report_left(Queue& queue, bool plain_only) noexcept {
  queue.abandoned = true;
  const OwnScope own(this);
  while (!queue.flights.empty()) {
    const Flight& front = queue.flights.front();
    const bool is_done = front.ready && front.mark.event == nullptr;
    const Status status = is_done ? front.failure : failures_.cancelled;
    const std::uint64_t value = front.value;
    queue.flights.pop_front();
    tell_left(queue, value, status);
  }
  // Nothing of the user's is destroyed by being told: that is in what was submitted, and that stays where it
  // must not be destroyed.
  Fifo<Item> kept;
  while (!queue.held.empty()) {
    std::unique_ptr<Item> item(queue.held.pop_front());
    const std::uint64_t value = item->submission.value;
    if (plain_only && !item->plain) {
      kept.push_back(item.release());
    } else {
      queue.mutex.unlock();
      item.reset();
      queue.mutex.lock();
    }
    tell_left(queue, value, failures_.cancelled);
  }
  queue.held = std::move(kept);  // which nobody looks at any more
}

void Queues::tell_left(Queue& queue, std::uint64_t value, const Status& status) noexcept {
  queue.mutex.unlock();
  sink_.completed({queue.id, value}, status, sync::now());
  queue.mutex.lock();
}

}  // namespace millrace::cuda
