// The device's queues: strands that a few worker threads run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backends/host/chaos.h"
#include "backends/host/workers.h"
#include "device/backend.h"
#include "device/fifo.h"
#include "device/queue_failures.h"
#include "sync/annotations.h"
#include "sync/atomic.h"
#include "sync/mpsc_list.h"
#include "sync/mutex.h"
#include "sync/ref.h"
#include "sync/thread.h"

namespace millrace::host {

/// Each queue is a strand: its submissions run in order, one at a time, on whichever worker is free.
///
/// No worker ever blocks on a wait: a strand whose first submission waits for a point is parked on
/// that point's queue, and reaching the point moves exactly the strands that wait for it to the ready
/// list. Ready strands are taken first in, first out, one submission a turn.
///
/// A point is reached when the sink's completed has returned: whoever waits for it, and the next
/// submission of its own queue, asks may_run only after that, and so sees a failure.
///
/// Invariants (docs/concurrency.md):
///   Q1  A strand is in one place: idle, on the ready list, parked on one point, or with one worker.
///   Q2  Every submission accepted is reported exactly once, in the order of its queue.
///   Q3  No lock is held while the sink or an operation runs or is destroyed.
///   Q4  If strands are ready, then so many workers as there are strands, or all workers, are awake or
///       being woken. Those that help with a spread operation look for strands before each unit.
///   Q5  A spread operation ends after each of its units was done once, and nobody touches it after that.
///
/// Thread safety: all members from any thread, but start, which comes first, and stop, which comes
/// last. Workers hold a reference, so those that stop gave up on find everything they touch alive.
class Queues final : public sync::RefCounted {
 public:
  Queues* next = nullptr;  ///< among those kept forever

  Queues(int queues, int workers, CompletionSink& sink, std::string device,
         std::optional<std::uint64_t> chaos);

  /// On failure no thread is left.
  Status start();
  static std::unique_ptr<SubmissionHolder> make_holder() { return std::make_unique<Item>(); }
  /// refused: a failure with which the submission completes when its turn comes, without running.
  /// A submission that is not taken stays as it was.
  Status submit(Submission&& submission, Status refused) noexcept;
  /// Runs the queue's first submission on the calling thread, which is none of the workers, if it is ready
  /// and has no host task. False if it did not.
  bool assist(QueueId queue) noexcept;
  void cancel() noexcept;
  /// False if operations may still be running: after cancel they get kGrace to end, then their threads
  /// are left to themselves and what is not yet reported is reported from here.
  [[nodiscard]] bool stop() noexcept;

  bool on_own_thread() const noexcept;
  int size() const noexcept { return size_; }
  const QueueFailures& failures() const noexcept { return failures_; }
  /// Never destroys it: threads that are stuck in it, or were before a fork, may have left it in use.
  static void keep_forever(sync::Ref<Queues> queues) noexcept;
  /// The last value of each queue that the sink was told of, or is being told of.
  std::vector<std::uint64_t> reported() const;

 private:
  /// Who will report what a worker runs: the worker itself, or stop, which has given up on it.
  enum class Phase : std::uint8_t { none, running, reporting, abandoned };

  struct Item final : SubmissionHolder {
    Item* next = nullptr;
    Submission submission;
    Status refused;
  };

  // Guarded by mutex_, but for the atomics, and for current, which is its worker's.
  struct Strand {
    ~Strand() { pending.delete_all(); }

    QueueId id = 0;
    bool busy = false;              // anywhere but idle (Q1)
    bool ready = false;             // on the ready list
    Fifo<Item> pending;             // owned
    std::unique_ptr<Item> current;  // with a worker; here, not on its stack, to be kept if stop gives up
    std::uint64_t submitted = 0;    // the last value accepted
    std::uint64_t running = 0;      // the last value that a worker took
    std::uint64_t reached = 0;
    std::size_t next_wait = 0;    // of the first pending item: those before it are over
    std::uint64_t waits_for = 0;  // while parked: the value on the other queue
    Strand* next = nullptr;       // in the ready list or among a queue's waiters (Q1: never both)
    Strand* waiters = nullptr;    // strands parked on this queue, the smallest value first
    sync::atomic<Phase> phase{Phase::none};
    sync::atomic<std::uint64_t> reported{0};
  };

  struct Worker {
    sync::Thread thread;  // start and stop only
    bool ended = false;   // guarded by mutex_
  };

  /// The units of an operation that idle workers help with; on the stack of the worker that runs it.
  struct Spread {
    const Workers::Body body;
    void* const context;
    const std::int64_t units;
    sync::atomic<std::int64_t> next{0};  // unit to be done; past the last one there is none left
    int helpers = 0;                     // inside; guarded by mutex_
    Spread* next_spread = nullptr;       // guarded by mutex_
  };
  /// All workers, as one of them sees them: with its index.
  class Crew;

  void work(int index) noexcept;
  /// Runs the first submission of a strand that was taken from the ready list, and reports it, with the mutex
  /// unlocked; helpers: as for wake_workers. False if stop has given up on it meanwhile.
  bool take_turn(Strand& strand, Crew& crew, Chaos& chaos, std::size_t helpers) REQUIRES(mutex_);
  Status run(const Item& item, Workers& crew, Chaos& chaos) noexcept;
  void spread(Spread& spread, int index) noexcept;
  /// Does units of a spread operation until there are none, or a strand is ready.
  void help(int index) REQUIRES(mutex_);
  void unlist(Spread& spread) REQUIRES(mutex_);
  bool cancelled() const noexcept;

  /// Blocks until a strand is ready; null when the worker is to end.
  Strand* next_strand(sync::UniqueLock& lock, int index, Chaos& chaos) REQUIRES(mutex_);
  /// Looks out for work for a while, with the mutex unlocked: cheaper than to sleep and be woken.
  void spin() REQUIRES(mutex_);
  /// Parks the strand, makes it ready or leaves it idle, as its first submission asks.
  void advance(Strand& strand) REQUIRES(mutex_);
  void reach(Strand& strand, std::uint64_t value) REQUIRES(mutex_);
  void push_ready(Strand& strand) REQUIRES(mutex_);
  Strand& take_ready(std::size_t position) REQUIRES(mutex_);
  void take_ready(Strand& strand, Strand* before) REQUIRES(mutex_);
  /// Keeps Q4; helpers: callers that will take a ready strand themselves right away.
  void wake_workers(std::size_t helpers) REQUIRES(mutex_);
  void wake_one() REQUIRES(mutex_);
  void wake_all() REQUIRES(mutex_);
  std::size_t running_workers() const REQUIRES(mutex_);
  /// Once it was given up: what no worker runs and no worker will report.
  void report_rest() noexcept;
  void report_pending(Strand& strand) noexcept EXCLUDES(mutex_);

  const int size_;
  CompletionSink& sink_;
  const std::string device_;
  const std::optional<std::uint64_t> chaos_;
  const QueueFailures failures_;

  sync::atomic<bool> cancelled_{false};
  sync::atomic<std::size_t> ready_hint_{0};  // ready_count_, for the spinner and for helpers
  sync::atomic<bool> spread_hint_{false};    // spreads_ is not empty, for the spinner
  mutable sync::Mutex mutex_;
  sync::ConditionVariable idle_;    // waking_ > 0
  sync::ConditionVariable ended_;   // a worker ended, or nobody assists any more
  sync::ConditionVariable helped_;  // a spread operation has no helpers any more
  std::vector<Strand> strands_ GUARDED_BY(mutex_);
  std::vector<Worker> workers_;
  Strand* ready_head_ GUARDED_BY(mutex_) = nullptr;
  Strand* ready_tail_ GUARDED_BY(mutex_) = nullptr;
  std::size_t ready_count_ GUARDED_BY(mutex_) = 0;
  Spread* spreads_ GUARDED_BY(mutex_) = nullptr;  // with units left, as far as is known
  std::size_t sleeping_ GUARDED_BY(mutex_) = 0;   // workers that nobody has woken yet
  std::size_t waking_ GUARDED_BY(mutex_) = 0;     // woken, not yet running
  std::size_t assisting_ GUARDED_BY(mutex_) = 0;  // threads of others that run a submission
  bool spinning_ GUARDED_BY(mutex_) = false;      // one worker is about to look again
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool given_up_ GUARDED_BY(mutex_) = false;  // stop reports the rest, or who is reporting what comes before
};

}  // namespace millrace::host
