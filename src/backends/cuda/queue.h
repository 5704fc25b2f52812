// The device's queues: streams of the driver's that are filled ahead of time, and what has to wait on the
// host.
#pragma once

#include <cuda.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backends/cuda/device_clock.h"
#include "backends/cuda/memory.h"
#include "backends/cuda/native_stream.h"
#include "backends/cuda/task_threads.h"
#include "device/backend.h"
#include "device/fifo.h"
#include "device/queue_failures.h"
#include "sync/annotations.h"
#include "sync/atomic.h"
#include "sync/clock.h"
#include "sync/mutex.h"
#include "sync/ref.h"
#include "sync/thread.h"

namespace millrace::cuda {

/// Each queue is a stream of the driver's. A submission is put on it by whoever submits, at once, when
/// everything before it on the queue and everything it waits for was put on streams too: the device does
/// the waiting then, and from there on all of it can only fail with the device. Nobody is asked whether it
/// may run.
///
/// All else is held on the host: host tasks, copies that the driver would block for, what comes after
/// something that failed, what was given up. Its turn comes when all that is before it was reported; then
/// the sink is asked, and a thread for tasks runs it or it goes to the device.
///
/// One thread watches: it reports what the device has done and moves on what is held. Threads that wait for a
/// queue look for themselves (assist).
///
/// Invariants (docs/concurrency/cuda.md):
///   C1  Every submission accepted is reported exactly once, in the order of its queue.
///   C2  At most one thread puts work on a queue's stream (filling), and at most one reports for a queue.
///   C3  handed() >= v means: all up to v was reported, or is on the device's streams without a failure.
///   C4  A submission is reported after what it waits for, also where the device has done both.
///   C5  No lock is held while the sink, a task or the destruction of one runs, and under a queue's mutex
///       no other of ours is taken.
///   C6  The watcher sleeps without bound only when nothing is underway: whoever adds something sees that it
///       sleeps, or it sees what was added.
///   C7  Nothing on a wrapped stream is reported before what its owner had put there is done: while it is
///   being
///       captured it is held back, or marked after that; where it can't be asked any more, all of the device
///       is waited for.
///   C12 From when the owner of a wrapped stream has said that it will capture it, for as long as it said,
///       nothing of ours touches the stream.
///   C8  An event that was lent is recorded no more before everybody has returned it.
///   C15 A stream that lasts as long as the device is asked for its number once at most: when it is wrapped,
///       unless it is being captured then. So no capture of it is spoilt by that.
///
/// Thread safety: all members from any thread, but start, which comes first, and stop, which comes
/// last. Threads hold a reference, so those that stop gave up on find everything they touch alive.
class Queues final : public sync::RefCounted {
 public:
  Queues* next = nullptr;  ///< among those kept forever

  struct Options {
    int queues = 0;
    int workers = 0;
    bool nvtx = false;
  };
  Queues(const Options& options, CompletionSink& sink, std::string device, CUcontext context,
         const Memory& memory);
  ~Queues() override;

  Status start();
  static std::unique_ptr<SubmissionHolder> make_holder() { return std::make_unique<Item>(); }
  Status submit(Submission&& submission) noexcept;
  /// As Backend::native_stream.
  Status native_stream(QueueId id, CUstream* stream) noexcept;
  // As those of Backend (wrapped.cc).
  Status identify(CUstream asked, StreamLifetime lifetime, StreamIdentity* identity) const noexcept;
  bool number_of(CUstream stream, std::uint64_t* id) const noexcept;
  bool is_captured(CUstream stream) const noexcept;
  bool finish(CUstream stream) const noexcept;
  Status wrap(QueueId id, CUstream stream, const StreamIdentity& identity, bool* wrapped) noexcept;
  Status check_wrapped(QueueId id) noexcept;
  void expect_capture(QueueId id, bool expected) noexcept;
  bool is_idle(QueueId id) noexcept;
  void raise_priority(QueueId id) noexcept { at(id).stream.raise_priority(); }
  // As those of Backend (capture.cc).
  Status begin_capture(QueueId id) noexcept;
  Status begin_branch(QueueId id, QueueId origin) noexcept;
  Status end_capture(QueueId id, std::span<const QueueId> branches, sync::Ref<DeviceGraph>* graph) noexcept;
  Status check_capturable(const Operation& operation) const noexcept;
  /// As Backend::lend_native_event.
  Status lend_event(TimelinePoint point, CUevent* event) noexcept;
  void return_event(QueueId id, CUevent event) noexcept;
  bool assist(QueueId id) noexcept;
  void cancel() noexcept;
  /// False if work may still be running: after cancel it gets a while to end, then it is left to itself and
  /// what is not yet reported is reported from here.
  [[nodiscard]] bool stop() noexcept;

  bool on_own_thread() const noexcept;
  int size() const noexcept { return static_cast<int>(queues_.size()); }
  /// Did the device stop working?
  bool is_lost() const noexcept;
  static void keep_forever(sync::Ref<Queues> queues) noexcept;

 private:
  struct Item final : SubmissionHolder {
    Item* next = nullptr;
    Submission submission;
    bool on_host = false;  // an operation of it is the host's
    bool plain = true;     // it runs and destroys no code of the user's
  };

  /// What tells that something on a stream is done.
  struct Mark {
    CUevent event = nullptr;  // null: there is nothing to wait for
    bool recorded = true;     // false: not before the owner of the wrapped stream captures it no more
  };

  /// A submission in the order of its queue, from when its turn has come or it is put on the stream.
  struct Flight {
    std::uint64_t value = 0;
    Mark mark;  // after its operations
    std::vector<TimelinePoint> waits;
    bool ready = false;  // filling is over
    bool timed = false;  // its event keeps times
    bool plain = true;   // no code of the user's can run when it is reported
    Status failure;
  };

  /// An event that stands for a point as long as somebody outside wants it.
  struct Loan {
    CUevent event = nullptr;
    std::uint64_t value = 0;
    std::uint32_t holders = 0;
    bool in_flight = false;  // a flight has it too
    bool timed = false;
  };

  /// What a capture's branches wait for: the end of what was captured up to the value.
  struct CapturedEvent {
    std::uint64_t value = 0;
    CUevent event = nullptr;
  };

  struct alignas(sync::kInterference) Queue {
    Queue(int number, const Memory& memory, const std::string& device)
        : id(number), stream(number, memory, device) {}
    ~Queue() { held.delete_all(); }

    const QueueId id;
    sync::atomic<std::uint32_t> underway{0};      // held and in flight
    sync::atomic<std::uint64_t> submitted{0};     // the last value; written under the mutex
    sync::atomic<std::uint64_t> handed{0};        // C3
    sync::atomic<std::uint64_t> reached{0};       // reported, and the sink has returned
    sync::atomic<std::uint64_t> last_failure{0};  // the last value that failed

    sync::Mutex mutex;
    Fifo<Item> held GUARDED_BY(mutex);  // owned
    std::deque<Flight> flights GUARDED_BY(mutex);
    std::vector<CUevent> events GUARDED_BY(mutex);        // to be used again
    std::vector<CUevent> timed_events GUARDED_BY(mutex);  // the same, of those that keep times
    std::vector<Loan> loans GUARDED_BY(mutex);
    std::vector<CapturedEvent> captured_events GUARDED_BY(mutex);  // of this capture; ascending
    bool filling GUARDED_BY(mutex) = false;
    bool reporting GUARDED_BY(mutex) = false;
    bool finishing GUARDED_BY(mutex) = false;  // a thread is destroying what was run, or was not to run
    bool given_up GUARDED_BY(mutex) = false;   // stop reports what is left, or whoever is reporting does
    bool abandoned GUARDED_BY(mutex) = false;  // somebody does: nobody else reports any more
    // Until then the owner of a wrapped stream is about to capture it (C12).
    sync::Clock::time_point capture_expected GUARDED_BY(mutex);
    int touching GUARDED_BY(mutex) = 0;  // threads that ask a wrapped stream, or wait for it, and don't fill
    std::unique_ptr<Item> running;       // filling's: kept when stop gives up
    std::uint64_t offered GUARDED_BY(mutex) =
        0;                // the value of running, while no thread has taken it; else 0
    NativeStream stream;  // filling's
  };

  Status try_submit(Submission&& submission) noexcept;
  ErrorContext error_context(int stream = -1) const {
    return {.call = {}, .device = device_, .stream = stream, .rule = {}};
  }
  Queue& at(QueueId queue) noexcept { return *queues_[static_cast<std::size_t>(queue)]; }

  /// Can it go to the device now, without anybody being asked?
  bool goes_ahead(const Queue& queue, const Submission& submission, bool on_host) const noexcept
      REQUIRES(queue.mutex);
  /// Is it, or is it about to be?
  bool is_captured_by_owner(const Queue& queue) const noexcept REQUIRES(queue.mutex);
  static bool is_capture_expected(const Queue& queue) noexcept REQUIRES(queue.mutex);
  /// As NativeStream::check; a capture that is expected counts as one.
  Status check(const Queue& queue) const noexcept REQUIRES(queue.mutex);
  /// NativeStream::finish for who does not fill.
  void finish_wrapped(Queue& queue) noexcept EXCLUDES(queue.mutex);
  /// Was all reported that is before the item and that it waits for?
  bool is_its_turn(const Queue& queue, const Item& item) const noexcept REQUIRES(queue.mutex);
  /// The flight of what is taken; filling is set. False where there is no memory for it.
  [[nodiscard]] bool try_begin(Queue& queue, const Submission& submission, bool plain) noexcept
      REQUIRES(queue.mutex);
  /// Puts the item on the stream; it completes with refused, if that is a failure.
  void fill(Queue& queue, std::unique_ptr<Item> item, Status refused = {}) noexcept EXCLUDES(queue.mutex);
  Status fill_stream(Queue& queue, const Submission& submission, Mark* mark);
  Status put(Queue& queue, std::span<const Operation> operations);
  /// What fill_stream does on a stream that is being captured: the work is done as soon as it is there.
  Status capture(Queue& queue, const Submission& submission);
  CUresult mark_captured(Queue& queue, std::uint64_t value) noexcept EXCLUDES(queue.mutex);
  CUresult wait_for_captured(Queue& queue, TimelinePoint point) noexcept;
  /// Waits at the capture's end for a branch that nothing was put on, which nobody will have waited for.
  CUresult join_if_empty(Queue& origin, Queue& branch) noexcept;
  void drop_captured_events(Queue& queue) noexcept EXCLUDES(queue.mutex);
  Status wait_on_device(Queue& queue, TimelinePoint point);
  CUresult take_event(Queue& queue, bool timed, CUevent* event) noexcept EXCLUDES(queue.mutex);
  /// Makes the flight's event free, unless it is lent.
  static void put_event(Queue& queue, const Flight& flight) noexcept REQUIRES(queue.mutex);
  static void put_event(Queue& queue, CUevent event, bool timed) noexcept REQUIRES(queue.mutex);
  /// One that is done. Throws std::bad_alloc before anything has changed.
  Status lend_done_event(Queue& queue, std::uint64_t value, CUevent* event) REQUIRES(queue.mutex);
  /// The last flight's filling is over.
  void end(Queue& queue, Mark mark, Status failure) noexcept EXCLUDES(queue.mutex);
  /// Takes what was offered to the threads for tasks, if that is still to be had.
  [[nodiscard]] bool take_offer(Queue& queue, std::uint64_t value) noexcept EXCLUDES(queue.mutex);
  /// The calling thread, which has set filling, is about to destroy what was submitted, until end; false if
  /// stop has given up on it.
  [[nodiscard]] static bool begin_finishing(Queue& queue) noexcept EXCLUDES(queue.mutex);
  /// Runs what was taken.
  void run(Queue& queue) noexcept EXCLUDES(queue.mutex);
  Status run_operations(Queue& queue);

  /// Reports what is done at the queue's front; false if that was nothing. plain_only: nothing that could run
  /// code of the user's.
  bool report(Queue& queue, bool plain_only, int depth = 0) noexcept EXCLUDES(queue.mutex);
  /// Was all reported that it waits for? Reports what can be.
  bool waits_are_reported(const Flight& flight, bool plain_only, int depth) noexcept;
  /// Has the device done it? Then how it ended, and when.
  bool is_done(Queue& queue, Flight& flight, Status& status, sync::Clock::time_point& when) noexcept;
  /// The same of one whose stream was captured by its owner when it was to be marked: nobody waits for the
  /// end of the capture, it is marked after that.
  bool is_done_after_capture(Queue& queue, Flight& flight) noexcept EXCLUDES(queue.mutex);
  /// Moves on what is held; false if it could not. plain_only: as for report.
  bool advance(Queue& queue, bool plain_only) noexcept EXCLUDES(queue.mutex);
  /// Copies of the queue that only wait for a thread to run them.
  bool run_copies(Queue& queue) noexcept EXCLUDES(queue.mutex);
  void watch() noexcept;
  /// Until then, or until it is woken with high urgency.
  void nap(sync::Clock::time_point until) noexcept EXCLUDES(mutex_);
  /// Until something is underway.
  void sleep() noexcept EXCLUDES(mutex_);
  enum class Urgency : std::uint8_t { low, high };
  void wake(Urgency urgency) noexcept EXCLUDES(mutex_);
  void lose(const Status& why) noexcept;
  Status lost_with(CUresult result, const char* asked) noexcept;
  Status verdict() noexcept;
  /// Submissions that were not reported yet.
  std::uint64_t underway() const noexcept;
  void report_rest(sync::Clock::time_point deadline) noexcept;
  /// Reports as cancelled what is left of a queue that stop has given up on. plain_only: as for report; then
  /// what may be the user's code is kept.
  void report_left(Queue& queue, bool plain_only) noexcept REQUIRES(queue.mutex);
  void tell_left(Queue& queue, std::uint64_t value, const Status& status) noexcept REQUIRES(queue.mutex);

  const std::string device_;
  const bool nvtx_;
  CompletionSink& sink_;
  CUcontext context_;  // never changes
  const Memory& memory_;
  const QueueFailures failures_;
  std::vector<std::unique_ptr<Queue>> queues_;
  TaskThreads tasks_;
  DeviceClock clock_;

  sync::atomic<bool> cancelled_{false};
  sync::atomic<bool> lost_{false};
  sync::atomic<bool> stopped_{false};
  sync::atomic<std::uint32_t> timed_{0};  // flights whose time somebody wants
  enum class Doze : std::uint8_t { none, nap, sleep };
  sync::atomic<Doze> doze_{Doze::none};  // of the watcher (C6)
  mutable sync::Mutex mutex_;            // a leaf
  sync::ConditionVariable woken_;
  bool wake_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool watcher_ended_ GUARDED_BY(mutex_) = false;
  Status lost_status_ GUARDED_BY(mutex_);
  sync::Thread watcher_;
};

}  // namespace millrace::cuda
