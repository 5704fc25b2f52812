// A device that runs what was submitted to it, one submission after the other: on a thread of its own, or
// where a scenario says so. A task that throws an int fails.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <utility>
#include <variant>
#include <vector>

#include "device/backend.h"
#include "sync/mutex.h"
#include "sync/thread.h"
#include "tiny_memory.h"

namespace millrace::verify {

/// Thread safety: as Backend.
class TinyBackend final : public Backend {
 public:
  enum class Runs : std::uint8_t {
    on_its_thread,  ///< which starts with the first submission
    by_hand,        ///< where run_next is called
  };
  TinyBackend(std::size_t granules, Runs runs) : source_(granules * kGranule), runs_(runs) {
    info_.name = "tiny";
    info_.memory_bytes = granules * kGranule;
    info_.host_tasks = true;
    info_.driver_streams = true;
  }

  /// The next submission whose turn has come; false if there is none.
  bool run_next() EXCLUDES(mutex_) {
    const OwnThread own(*this);
    Submission next;
    {
      const sync::LockGuard lock(mutex_);
      if (!take_ready(next)) return false;
    }
    run(std::move(next));
    return true;
  }
  /// The same, and it is the caller's to ask about and to tell.
  Submission take_next() EXCLUDES(mutex_) {
    const sync::LockGuard lock(mutex_);
    Submission next;
    INTERLEAVE_EXPECT(take_ready(next));
    return next;
  }
  void run_all() {
    while (run_next()) {
    }
  }
  std::size_t committed() noexcept { return source_.committed(); }
  /// Each submission from here on is refused.
  void refuse(Status why) EXCLUDES(mutex_) {
    const sync::LockGuard lock(mutex_);
    refusal_ = std::move(why);
  }
  /// Work is accepted, and not put on the driver's stream. Not beside other calls.
  void hold_back(bool hold) noexcept { holds_back_ = hold; }
  /// Memory is committed so many times from here on, and then refused once.
  void refuse_memory(int after, Status why) EXCLUDES(mutex_) {
    const sync::LockGuard lock(mutex_);
    commits_left_ = after;
    memory_refusal_ = std::move(why);
  }
  /// Runs when the device has closed, but for the end of the backend's thread.
  void when_stopped(std::function<void()> hook) { when_stopped_ = std::move(hook); }

  // Backend
  const DeviceInfo& info() const noexcept override { return info_; }
  std::size_t default_memory_limit() const noexcept override { return info_.memory_bytes; }
  Status start(int queues, CompletionSink& sink) override {
    sink_ = &sink;
    queues_ = std::vector<Queue>(static_cast<std::size_t>(queues));
    was_submitted_.resize(static_cast<std::size_t>(queues));
    return {};
  }
  void stop() noexcept override {
    {
      const sync::LockGuard lock(mutex_);
      stopping_ = true;
      changed_.notify_one();
    }
    if (thread_.joinable()) thread_.join();
    if (when_stopped_) when_stopped_();
  }
  void cancel() noexcept override {
    const sync::LockGuard lock(mutex_);
    cancelled_ = true;
  }
  Status submit(Submission&& submission) noexcept override {
    note(submission);
    const sync::LockGuard lock(mutex_);
    if (!refusal_.ok()) return refusal_;
    queues_[static_cast<std::size_t>(submission.queue)].waiting.push_back(std::move(submission));
    if (runs_ == Runs::by_hand) return {};
    if (!thread_.joinable()) thread_ = sync::Thread([this] { work(); });
    changed_.notify_one();
    return {};
  }
  // Every stream of a driver's is its own number, and there at once.
  Status native_stream(QueueId, void** stream) noexcept override {
    *stream = holds_back_ ? nullptr : this;
    return {};
  }
  Status identify(void* stream, StreamLifetime lifetime, StreamIdentity* identity) noexcept override {
    const auto number = reinterpret_cast<std::uintptr_t>(stream);
    *identity = {.number = number, .handle = number, .lasts = lifetime == StreamLifetime::device};
    return {};
  }
  Status wrap(QueueId, void*, const StreamIdentity&, bool* wrapped) noexcept override {
    *wrapped = true;
    return {};
  }
  Status check_wrapped(QueueId) noexcept override { return {}; }
  bool is_idle(QueueId) noexcept override { return true; }
  Status begin_capture(QueueId) noexcept override { return {}; }
  bool assist(QueueId) noexcept override { return false; }
  void host_knows(TimelinePoint) noexcept override {}
  void set_accessible(void*, std::size_t, bool) noexcept override {}
  std::vector<MissingDependency> missing_dependencies() const override { return {}; }
  bool on_own_thread() const noexcept override { return working_.get() == this; }

  // MemorySource
  std::size_t granule() const noexcept override { return source_.granule(); }
  Status reserve(std::size_t bytes, void** base) noexcept override { return source_.reserve(bytes, base); }
  void release(void* base, std::size_t bytes) noexcept override { source_.release(base, bytes); }
  Status commit(void* address, std::size_t bytes) noexcept override {
    {
      const sync::LockGuard lock(mutex_);
      if (!memory_refusal_.ok() && commits_left_-- == 0) return std::exchange(memory_refusal_, {});
    }
    return source_.commit(address, bytes);
  }
  std::span<std::byte> decommittable(void* address, std::size_t bytes) const noexcept override {
    return source_.decommittable(address, bytes);
  }
  void decommit(void* address, std::size_t bytes) noexcept override { source_.decommit(address, bytes); }

 private:
  struct Queue {
    std::deque<Submission> waiting;
    std::uint64_t reached = 0;
  };
  /// While it lives, the calling thread is one of the backend's.
  class OwnThread {
   public:
    explicit OwnThread(TinyBackend& backend) { working_.set(&backend); }
    ~OwnThread() { working_.set(nullptr); }
    OwnThread(const OwnThread&) = delete;
    OwnThread& operator=(const OwnThread&) = delete;
  };

  /// By the thread that submits, with nothing locked: it is the stream's mutex that orders what comes to a
  /// queue (S7), and the timeline that says what may be waited for (S3, S9).
  void note(const Submission& submission) noexcept {
    for (const TimelinePoint& point : submission.waits)
      INTERLEAVE_EXPECT(submitted(point.queue, point.value));
    INTERLEAVE_EXPECT(submission.value == 1 || submitted(submission.queue, submission.value - 1));
    INTERLEAVE_EXPECT(!submitted(submission.queue, submission.value));
    submitted(submission.queue, submission.value) = true;
  }
  bool& submitted(QueueId queue, std::uint64_t value) {
    return was_submitted_[static_cast<std::size_t>(queue)].at(static_cast<std::size_t>(value));
  }
  bool take_ready(Submission& next) REQUIRES(mutex_) {
    for (Queue& queue : queues_) {
      if (queue.waiting.empty()) continue;
      bool ready = true;
      for (const TimelinePoint& point : queue.waiting.front().waits) {
        ready = ready && queues_[static_cast<std::size_t>(point.queue)].reached >= point.value;
      }
      if (!ready) continue;
      next = std::move(queue.waiting.front());
      queue.waiting.pop_front();
      return true;
    }
    return false;
  }
  void run(Submission next) EXCLUDES(mutex_) {
    const TimelinePoint point{next.queue, next.value};
    Status status = sink_->may_run(next);
    if (status.ok() && is_cancelled()) status = Status(ErrorCode::Closed, "cancelled");
    for (Operation& operation : next.operations) {
      if (!status.ok()) break;
      auto* const task = std::get_if<TaskWork>(&operation.work);
      if (task == nullptr) continue;
      try {
        task->task();
      } catch (int) {
        status = Status(ErrorCode::WorkFailed, "it threw");
      }
    }
    next.operations.clear();
    sink_->completed(point, std::move(status), sync::now());
    const sync::LockGuard lock(mutex_);
    queues_[static_cast<std::size_t>(point.queue)].reached = point.value;
  }
  bool is_cancelled() EXCLUDES(mutex_) {
    const sync::LockGuard lock(mutex_);
    return cancelled_;
  }
  void work() EXCLUDES(mutex_) {
    const OwnThread own(*this);
    for (;;) {
      Submission next;
      {
        sync::UniqueLock lock(mutex_);
        while (!take_ready(next)) {
          if (stopping_) return;
          changed_.wait(lock);
        }
      }
      run(std::move(next));
    }
  }

  static inline constinit interleave::thread_slot<TinyBackend> working_{nullptr};

  DeviceInfo info_;
  TinySource source_;
  const Runs runs_;
  CompletionSink* sink_ = nullptr;
  std::vector<std::array<bool, 16>> was_submitted_;  // of each queue, by value
  bool holds_back_ = false;
  std::function<void()> when_stopped_;
  sync::Mutex mutex_;
  sync::ConditionVariable changed_;  // something was submitted or stopping_ was set
  std::vector<Queue> queues_ GUARDED_BY(mutex_);
  Status refusal_ GUARDED_BY(mutex_);
  Status memory_refusal_ GUARDED_BY(mutex_);
  int commits_left_ GUARDED_BY(mutex_) = 0;
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool cancelled_ GUARDED_BY(mutex_) = false;
  sync::Thread thread_;  // written by the first submission, read by stop
};

}  // namespace millrace::verify
