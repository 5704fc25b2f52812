// The thread of a device that runs its users' handlers.
#pragma once

#include <cstdint>
#include <vector>

#include <millrace/stream.h>

#include "device/fifo.h"
#include "device/status.h"
#include "sync/atomic.h"
#include "sync/clock.h"
#include "sync/mutex.h"
#include "sync/thread.h"

namespace millrace {

namespace detail {
class BufferState;
class Core;
}  // namespace detail
using detail::BufferState;
using detail::Core;

/// The handlers of one kind of one command buffer, and what to tell them. Part of its buffer, so that
/// handing it over allocates nothing.
struct HandlerJob {
  HandlerJob* next = nullptr;
  std::vector<Handler> handlers;  ///< under the stream's mutex until pushed
  BufferState* buffer = nullptr;  ///< a reference, from push on
  BufferStatus status = BufferStatus::scheduled;
  Status failure;
};

/// Runs handlers one after the other on a thread of its own, which starts with the first handler that is
/// added anywhere on the device.
///
/// Invariants (docs/concurrency/streams.md):
///   H1  Each handler that was added runs exactly once.
///   H2  No lock is held while a handler runs or is destroyed, and both happen inside a HandlerScope.
///   H3  Jobs run in the order in which they were pushed.
///
/// Thread safety: all members from any thread; stop once, after the last push. The mutex is a leaf.
class Dispatcher {
 public:
  explicit Dispatcher(Core& core) : core_(core) {}
  Dispatcher(const Dispatcher&) = delete;
  Dispatcher& operator=(const Dispatcher&) = delete;

  /// Before a handler is added: there is a thread to run it. Throws OutOfMemory where the system has none.
  void start() EXCLUDES(mutex_);
  /// job.handlers is not empty. The dispatcher takes a reference to the buffer until they have run.
  void push(BufferState& buffer, HandlerJob& job) noexcept EXCLUDES(mutex_);
  /// Waits until all that was pushed before has run; false when the deadline has passed.
  bool wait_until_idle(sync::Deadline deadline) noexcept EXCLUDES(mutex_);
  /// Runs what is left, then ends the thread. Not on that thread.
  void stop() noexcept EXCLUDES(mutex_);
  /// The process is ending and the thread is busy: it is left as it is.
  void leave_running() noexcept;

  std::uint64_t handlers_run() const noexcept {
    // acquire: pairs with the release of add_single_writer; a statistic.
    return run_.load(std::memory_order_acquire);
  }
  std::uint64_t handler_exceptions() const noexcept {
    // acquire: as above.
    return exceptions_.load(std::memory_order_acquire);
  }

 private:
  void work() noexcept EXCLUDES(mutex_);
  void tell(HandlerJob& job) noexcept EXCLUDES(mutex_);

  Core& core_;
  sync::atomic<std::uint64_t> run_{0}, exceptions_{0};  // written by the dispatcher's thread alone

  sync::Mutex mutex_;
  sync::ConditionVariable work_;  // jobs_ is not empty or stopping_ was set
  sync::ConditionVariable told_changed_;
  Fifo<HandlerJob> jobs_ GUARDED_BY(mutex_);
  std::uint64_t pushed_ GUARDED_BY(mutex_) = 0;  // jobs
  std::uint64_t told_ GUARDED_BY(mutex_) = 0;
  bool started_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  sync::Thread thread_;  // written by the start that set started_, read by stop
};

}  // namespace millrace
