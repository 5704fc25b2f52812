// The thread that watches the device.
#include <pthread.h>

#include <algorithm>
#include <chrono>

#include "backends/cuda/driver.h"
#include "backends/cuda/own_queues.h"
#include "backends/cuda/queue.h"
#include "sync/clock.h"

namespace millrace::cuda {
namespace {

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

}  // namespace millrace::cuda
