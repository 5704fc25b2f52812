// The end of it all.
#include <chrono>
#include <memory>
#include <utility>

#include "backends/cuda/own_queues.h"
#include "backends/cuda/queue.h"
#include "sync/clock.h"
#include "sync/mpsc_list.h"

namespace millrace::cuda {
namespace {

// What work that runs when the process exits is given to end.
constexpr std::chrono::seconds kGrace{2};
// Between two looks whether work has ended.
constexpr std::chrono::microseconds kPause{200};

}  // namespace

void Queues::cancel() noexcept {
  cancelled_.store(true, std::memory_order_release);  // pairs with the acquire in verdict
  wake(Urgency::high);
}

bool Queues::stop() noexcept {
  const bool cancelled = cancelled_.load(std::memory_order_acquire);
  const sync::Clock::time_point deadline = sync::now() + kGrace;
  const std::uint64_t own = on_own_thread() ? 1 : 0;  // called by a task: that one never ends
  while (cancelled && underway() > own && sync::now() < deadline) sync::sleep_for(kPause);
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
