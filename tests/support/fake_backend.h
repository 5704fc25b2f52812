// A backend that runs submissions when the test says so, and holds the stream layer to its contract.
#pragma once

#include <millrace/error.h>

#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "device/backend.h"

namespace millrace::test {

/// Queues that move only when step is called, or on threads of their own after run_freely.
///
/// Thread safety: all members from any thread; run_freely and stop once.
class FakeBackend final : public Backend {
 public:
  FakeBackend() {
    info_.name = "fake:0";
    info_.host_tasks = true;
  }
  ~FakeBackend() override { stop(); }

  // For the test.

  /// Runs the queue's next submission on the calling thread; false if it has none, or its waits are not over.
  bool step(QueueId queue) {
    Submission submission;
    {
      const std::lock_guard lock(mutex_);
      if (!is_runnable(queue)) return false;
      submission = take(queue);
    }
    run(std::move(submission));
    return true;
  }
  /// Steps all queues until nothing more can run; returns how many submissions ran.
  int step_all() {
    int steps = 0;
    for (bool moved = true; moved;) {
      moved = false;
      for (QueueId queue = 0; queue < queue_count(); ++queue) {
        while (step(queue)) {
          moved = true;
          ++steps;
        }
      }
    }
    return steps;
  }
  /// From here on everything runs as soon as it can, on so many threads.
  void run_freely(int threads = 1) {
    for (int i = 0; i < threads; ++i) workers_.emplace_back([this] { work(); });
  }
  /// Submissions that have not been run.
  int pending(QueueId queue) const {
    const std::lock_guard lock(mutex_);
    return static_cast<int>(queues_[index(queue)].pending.size());
  }
  std::uint64_t submitted(QueueId queue) const {
    const std::lock_guard lock(mutex_);
    return queues_[index(queue)].submitted;
  }
  std::vector<TimelinePoint> waits_of_next(QueueId queue) const {
    const std::lock_guard lock(mutex_);
    return queues_[index(queue)].pending.front().waits;
  }
  void refuse_submissions(bool refuse) {
    const std::lock_guard lock(mutex_);
    refusing_ = refuse;
  }
  std::uint64_t known_to_host(QueueId queue) const {
    const std::lock_guard lock(mutex_);
    return queues_[index(queue)].known;
  }
  /// What the stream layer did that the contract of backends forbids.
  std::vector<std::string> violations() const {
    const std::lock_guard lock(mutex_);
    return violations_;
  }
  bool cancelled() const {
    const std::lock_guard lock(mutex_);
    return cancelled_;
  }

  // Backend

  const DeviceInfo& info() const noexcept override { return info_; }
  std::size_t granule() const noexcept override { return std::size_t{2} << 20; }
  std::size_t default_memory_limit() const noexcept override { return std::size_t{1} << 30; }
  Status start(int queues, CompletionSink& sink) override {
    queues_ = std::vector<Queue>(static_cast<std::size_t>(queues));
    sink_ = &sink;
    return {};
  }
  void stop() noexcept override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
  }
  void cancel() noexcept override {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    changed_.notify_all();
  }
  Status reserve(std::size_t, void**) noexcept override { return unsupported(); }
  void release(void*, std::size_t) noexcept override {}
  Status commit(void*, std::size_t) noexcept override { return unsupported(); }
  std::span<std::byte> decommittable(void*, std::size_t) const noexcept override { return {}; }
  void decommit(void*, std::size_t) noexcept override {}
  Status submit(Submission&& submission) noexcept override {
    const std::lock_guard lock(mutex_);
    if (refusing_) return Status(ErrorCode::DeviceLost, "the fake device was told to be lost");
    Queue& queue = queues_[index(submission.queue)];
    if (submission.value <= queue.submitted) {
      violations_.push_back("value " + std::to_string(submission.value) + " submitted after " +
                            std::to_string(queue.submitted));
    }
    for (const TimelinePoint& wait : submission.waits) {
      if (wait.value > queues_[index(wait.queue)].submitted)
        violations_.push_back("wait for an unsubmitted point");
      if (wait.queue == submission.queue) violations_.push_back("wait for the own queue");
    }
    queue.submitted = submission.value;
    queue.pending.push_back(std::move(submission));
    changed_.notify_all();
    return {};
  }
  bool assist(QueueId) noexcept override { return false; }
  void host_knows(TimelinePoint point) noexcept override {
    const std::lock_guard lock(mutex_);
    Queue& queue = queues_[index(point.queue)];
    if (point.value > queue.completed && !refusing_) violations_.push_back("the host knows what is not done");
    queue.known = std::max(queue.known, point.value);
  }
  void set_accessible(void*, std::size_t, bool) noexcept override {}
  std::vector<MissingDependency> missing_dependencies() const override { return {}; }
  bool on_own_thread() const noexcept override { return running_on_this_thread() == this; }

 private:
  struct Queue {
    std::deque<Submission> pending;
    std::uint64_t submitted = 0, completed = 0, known = 0;
    bool busy = false;
  };

  static std::size_t index(QueueId queue) { return static_cast<std::size_t>(queue); }
  static const FakeBackend*& running_on_this_thread() {
    static thread_local const FakeBackend* backend = nullptr;
    return backend;
  }
  static Status unsupported() { return Status(ErrorCode::Unsupported, "the fake device has no memory"); }

  QueueId queue_count() const { return static_cast<QueueId>(queues_.size()); }

  bool is_runnable(QueueId id) const {
    const Queue& queue = queues_[index(id)];
    if (queue.busy || queue.pending.empty()) return false;
    if (cancelled_) return true;
    for (const TimelinePoint& wait : queue.pending.front().waits) {
      if (queues_[index(wait.queue)].completed < wait.value) return false;
    }
    return true;
  }

  Submission take(QueueId id) {
    Queue& queue = queues_[index(id)];
    Submission submission = std::move(queue.pending.front());
    queue.pending.pop_front();
    queue.busy = true;
    return submission;
  }

  Status run_operations(const Submission& submission) {
    if (cancelled()) return Status(ErrorCode::Closed, "the fake device was cancelled");
    Status verdict = sink_->may_run(submission);
    if (!verdict.ok()) return verdict;
    for (const Operation& operation : submission.operations) {
      if (const auto* task = std::get_if<TaskWork>(&operation.work)) {
        try {
          task->task();
        } catch (const std::exception& error) {
          return Status(ErrorCode::WorkFailed, operation.name + ": " + error.what());
        }
      } else if (const auto* copy = std::get_if<CopyWork>(&operation.work)) {
        std::memcpy(copy->to, copy->from, copy->bytes);
      } else if (const auto* fill = std::get_if<FillWork>(&operation.work)) {
        std::memset(fill->to, fill->value, fill->bytes);
      }
    }
    return {};
  }

  void run(Submission submission) {
    const FakeBackend* const outer = std::exchange(running_on_this_thread(), this);
    const TimelinePoint point{submission.queue, submission.value};
    const Status status = run_operations(submission);
    submission.operations.clear();
    {
      // host_knows may come as soon as the stream layer has heard.
      const std::lock_guard lock(mutex_);
      queues_[index(point.queue)].completed = point.value;
    }
    sink_->completed(point, status, sync::now());
    {
      const std::lock_guard lock(mutex_);
      queues_[index(point.queue)].busy = false;
      changed_.notify_all();
    }
    running_on_this_thread() = outer;
  }

  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      QueueId ready = 0;
      while (ready < queue_count() && !is_runnable(ready)) ++ready;
      if (ready == queue_count()) {
        if (stopping_) return;
        changed_.wait(lock);
        continue;
      }
      Submission submission = take(ready);
      lock.unlock();
      run(std::move(submission));
      lock.lock();
    }
  }

  DeviceInfo info_;
  CompletionSink* sink_ = nullptr;
  std::vector<std::thread> workers_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Queue> queues_;
  std::vector<std::string> violations_;
  bool refusing_ = false;
  bool cancelled_ = false;
  bool stopping_ = false;
};

}  // namespace millrace::test
