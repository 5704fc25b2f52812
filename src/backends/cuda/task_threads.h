// Threads that run what belongs to the host.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "device/status.h"
#include "sync/annotations.h"
#include "sync/clock.h"
#include "sync/mutex.h"
#include "sync/thread.h"

namespace millrace::cuda {

/// A thread more whenever something is to be run and none is idle, up to a number. One is there from the
/// start, so that what was accepted can run.
///
/// Thread safety: run from any thread; start first, stop last.
class TaskThreads {
 public:
  using Body = std::function<void()>;

  explicit TaskThreads(int most) : most_(static_cast<std::size_t>(most)) {}
  TaskThreads(const TaskThreads&) = delete;
  TaskThreads& operator=(const TaskThreads&) = delete;

  /// enter: called first on each thread.
  Status start(Body enter, const std::string& device);
  /// False once they are stopping. Throws std::bad_alloc before anything has changed.
  [[nodiscard]] bool run(Body body) EXCLUDES(mutex_);
  /// Ends the threads once they have run everything; after the deadline they are left to themselves.
  /// False if some were.
  [[nodiscard]] bool stop(sync::Deadline deadline) noexcept EXCLUDES(mutex_);

 private:
  void add_thread() REQUIRES(mutex_);
  void work(std::size_t index) noexcept EXCLUDES(mutex_);

  const std::size_t most_;
  Body enter_;
  sync::Mutex mutex_;
  sync::ConditionVariable changed_;  // there is work, or none will come
  sync::ConditionVariable ended_;
  std::deque<Body> waiting_ GUARDED_BY(mutex_);
  struct Member {
    sync::Thread thread;
    bool ended = false;
  };
  std::vector<Member> threads_ GUARDED_BY(mutex_);
  std::size_t idle_ GUARDED_BY(mutex_) = 0;
  std::size_t live_ GUARDED_BY(mutex_) = 0;
  bool stopping_ GUARDED_BY(mutex_) = false;
};

}  // namespace millrace::cuda
