#include "backends/cuda/task_threads.h"

#include <pthread.h>

#include <exception>
#include <utility>

#include "sync/signals.h"

namespace millrace::cuda {

Status TaskThreads::start(Body enter, const std::string& device) {
  sync::LockGuard lock(mutex_);
  enter_ = std::move(enter);
  try {
    threads_.reserve(most_);
    add_thread();
    return {};
  } catch (const std::exception& error) {
    return Status(ErrorCode::OutOfMemory,
                  std::string("the system made no thread for host tasks (") + error.what() +
                      "); raise the process's thread and memory limits",
                  {.call = {}, .device = device, .stream = -1, .rule = {}});
  }
}

void TaskThreads::add_thread() {
  const sync::SignalsBlocked inherited;
  const std::size_t index = threads_.size();
  threads_.emplace_back();  // within what start has reserved
  try {
    threads_.back().thread = sync::Thread([this, index] { work(index); });
  } catch (...) {
    threads_.pop_back();
    throw;
  }
  ++live_;
}

bool TaskThreads::run(Body body) {
  sync::LockGuard lock(mutex_);
  if (stopping_) return false;
  waiting_.push_back(std::move(body));
  if (waiting_.size() > idle_ && threads_.size() < most_) {
    try {
      add_thread();
    } catch (const std::exception&) {
      // Those that are there run it in their turn.
    }
  }
  changed_.notify_one();
  return true;
}

void TaskThreads::work(std::size_t index) noexcept {
  pthread_setname_np(pthread_self(), "millrace-task");
  enter_();
  sync::UniqueLock lock(mutex_);
  for (;;) {
    while (waiting_.empty() && !stopping_) {
      ++idle_;
      changed_.wait(lock);
      --idle_;
    }
    if (waiting_.empty()) break;
    Body body = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    body();
    body = nullptr;
    lock.lock();
  }
  threads_[index].ended = true;
  --live_;
  ended_.notify_all();
}

bool TaskThreads::stop(sync::Deadline deadline) noexcept {
  bool all_ended = false;
  {
    sync::UniqueLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
    std::size_t own = 0;
    for (const Member& member : threads_) own += member.thread.is_this_thread() ? 1 : 0;
    while (live_ > own) {
      if (!deadline) {
        ended_.wait(lock);
      } else if (!ended_.wait_until(lock, *deadline)) {
        break;
      }
    }
    all_ended = live_ == 0;
  }
  for (std::size_t i = 0;; ++i) {
    sync::Thread thread;
    bool ended = false;
    {
      sync::LockGuard lock(mutex_);
      if (i == threads_.size()) return all_ended;
      thread = std::move(threads_[i].thread);
      ended = threads_[i].ended;
    }
    if (thread.joinable()) ended ? thread.join() : thread.detach();
  }
}

}  // namespace millrace::cuda
