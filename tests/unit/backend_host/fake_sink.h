// A completion sink that records what a backend reports, and shorthands for submissions.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "device/backend.h"

namespace millrace::host {

/// Thread safety: all members from any thread; the hooks are set before the backend starts.
class FakeSink final : public CompletionSink {
 public:
  struct Completion {
    std::uint64_t value;
    Status status;
    sync::Clock::time_point when;
  };

  std::function<Status(const Submission&)> allow;          // none: everything may run
  std::function<void(TimelinePoint, const Status&)> then;  // called by completed, after it was recorded

  Status may_run(const Submission& submission) noexcept override {
    return allow ? allow(submission) : Status();
  }
  void completed(TimelinePoint point, Status status, sync::Clock::time_point when) noexcept override {
    {
      std::lock_guard lock(mutex_);
      std::vector<Completion>& queue = queues_[point.queue];
      if (!queue.empty() && queue.back().value >= point.value) in_order_ = false;
      queue.push_back({point.value, status, when});
      ++count_;
      changed_.notify_all();
    }
    if (then) then(point, status);
  }

  /// False after a minute.
  bool wait_count(std::size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::minutes(1), [&] { return count_ >= count; });
  }
  std::vector<Completion> of(QueueId queue) const {
    std::lock_guard lock(mutex_);
    const auto found = queues_.find(queue);
    return found == queues_.end() ? std::vector<Completion>() : found->second;
  }
  std::size_t count() const {
    std::lock_guard lock(mutex_);
    return count_;
  }
  std::size_t count(ErrorCode code) const {
    std::lock_guard lock(mutex_);
    std::size_t count = 0;
    for (const auto& [id, queue] : queues_) {
      for (const Completion& c : queue) count += !c.status.ok() && c.status.error().code() == code ? 1u : 0u;
    }
    return count;
  }
  bool in_order() const {
    std::lock_guard lock(mutex_);
    return in_order_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<QueueId, std::vector<Completion>> queues_;
  std::size_t count_ = 0;
  bool in_order_ = true;
};

inline Operation task(std::string name, HostTask body, Uses uses = {},
                      SourcePlace place = SourcePlace::here()) {
  return {TaskWork{std::move(body)}, std::move(name), std::move(uses), place};
}

inline Submission submission(QueueId queue, std::uint64_t value, std::vector<Operation> operations,
                             std::vector<TimelinePoint> waits = {}) {
  return {queue, value, std::move(waits), std::move(operations), value};
}

/// A door that tasks wait behind.
class Door {
 public:
  void open() {
    std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();  // under the mutex: whoever passes may end the door
  }
  /// False after a minute.
  bool pass() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::minutes(1), [&] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

}  // namespace millrace::host
