// One stream: what it records, what it has committed, and how far that has come.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include <millrace/stream.h>

#include "device/backend.h"
#include "device/fifo.h"
#include "device/operation.h"
#include "device/status.h"
#include "stream/command_buffer.h"
#include "stream/failure_log.h"
#include "stream/held_waits.h"
#include "stream/segment.h"
#include "stream/timeline.h"
#include "sync/atomic.h"
#include "sync/clock.h"
#include "sync/mutex.h"
#include "sync/ref.h"

namespace millrace {

class StreamPool;

enum class StreamKind : std::uint8_t {
  ordinary,
  wrapped,   ///< for streams that somebody else made
  captured,  ///< for captures: what is submitted does not run
};

enum class HandlerKind : std::uint8_t { scheduled, completed };

/// What a change of a stream leaves to be done once its mutex is released.
struct Aftermath {
  Aftermath() = default;
  Aftermath(Aftermath&&) noexcept = default;
  Aftermath& operator=(Aftermath&&) noexcept = default;

  bool settle = false;     ///< others wait for what was submitted, or what was submitted waited for others
  Fifo<Segment> finished;  ///< for the taker to delete: a backend may have left a user's functions in them
};

/// The queue of one slot of the pool, over all its leases.
///
/// Recorded segments belong to the current buffer; committed ones wait in ready_ until what they wait for
/// was submitted; submitted ones are in running_ until the backend reports them. Buffers that are no longer
/// recorded stay in buffers_ until all before them are done, so that handlers run in order.
///
/// Invariants (docs/concurrency/streams.md):
///   S7  Values are given out in the order of recording and submitted in that order, each once: what was
///       abandoned too, without its operations, so that a wait for it ends.
///   S8  No operation recorded through a handle outlives the handle's lease uncommitted: whoever begins a
///       buffer says so and then looks at the generation, and whoever ends the lease raises the generation
///       and then looks for a buffer. At least one sees the other.
///   S9  A submission's waits were all submitted before it.
///   S11 What a caller has put on the driver's own stream is followed there by the submission of its segment,
///       whatever becomes of the command buffer: until that is done the values from the segment's on are not
///       reached.
///   S14 The driver is asked about a wrapped stream on behalf of nobody but a lease that lasts: under the
///       stream's mutex, which the end of the lease has still to take.
///   S15 What was recorded is taken by the backend as long as its queues run: what that needs of the host's
///       memory comes with the segment.
///
/// Thread safety: all members from any thread. One mutex guards everything; it is taken after the pool's
/// order mutex and before leaf mutexes and those of arenas, never together with another stream's.
class alignas(sync::kInterference) StreamState {
 public:
  StreamState(StreamPool& pool, int slot, StreamKind kind, int max_uncompleted, int failures_kept);
  ~StreamState();
  StreamState(const StreamState&) = delete;
  StreamState& operator=(const StreamState&) = delete;

  int slot() const noexcept { return slot_; }
  bool is_wrapped() const noexcept { return kind_ == StreamKind::wrapped; }
  bool is_captured() const noexcept { return kind_ == StreamKind::captured; }
  const Timeline& timeline() const noexcept { return timeline_; }
  /// Of the handles that are valid now.
  std::uint32_t generation() const noexcept {
    // relaxed: a hint; what must not err looks again (S8).
    return LeaseWord::generation(lease_.load(std::memory_order_relaxed));
  }
  /// Why a completed value failed; ok for one that did not.
  Status failure_of(std::uint64_t value) const noexcept { return failures_.find(value); }

  // Holders. The pool sees to it that a slot is taken by one thread at a time (S6). None of these takes the
  // mutex.
  /// For the one who has taken the slot; returns the generation of the lease's handles.
  std::uint32_t begin_lease() noexcept {
    // relaxed: whoever ended the last lease gave the slot to the caller.
    const std::uint32_t generation = LeaseWord::generation(lease_.load(std::memory_order_relaxed));
    // release: pairs with the acquire in try_share_lease.
    lease_.store(LeaseWord::make(generation, 1), std::memory_order_release);
    return generation;
  }
  /// One holder more, if there is any; returns the generation.
  std::optional<std::uint32_t> try_share_lease() noexcept;
  enum class LeaseEnd : std::uint8_t {
    held_by_others,
    recording,  ///< the last holder left with work recorded: give_up_recorded has to follow
    done,       ///< the last holder left
  };
  /// A holder leaves. After the last one the handles of the lease are stale.
  LeaseEnd drop_holder() noexcept;
  bool leased() const noexcept {
    return LeaseWord::holders(lease_.load(std::memory_order_relaxed)) != 0;  // relaxed: a statistic
  }

  /// Rule "captured-work", of a stream for captures.
  void refuse_captured_work(const char* what, const char* call) const;

  // Recording into the current buffer, which is started if there is none. generation: the handle's.
  void check_handle(std::uint32_t generation, const char* call) EXCLUDES(mutex_);
  void record(std::uint32_t generation, Operation&& operation, const char* call) EXCLUDES(mutex_);
  sync::Ref<BufferState> current(std::uint32_t generation, const char* call) EXCLUDES(mutex_);
  sync::Ref<BufferState> open_recorder(std::uint32_t generation, const char* call) EXCLUDES(mutex_);
  /// A recorder, so that nothing is submitted until it is closed; begin_native follows. Null if anything was
  /// recorded or committed since the timeline's committed was that.
  sync::Ref<BufferState> open_native(std::uint32_t generation, std::uint64_t committed, const char* call)
      EXCLUDES(mutex_);
  /// The segment that stands for native work. Throws as recording does.
  void begin_native(BufferState& buffer, std::span<const Use> uses, const char* call) EXCLUDES(mutex_);
  void add_handler(std::uint32_t generation, HandlerKind kind, Handler&& handler, const char* call)
      EXCLUDES(mutex_);
  Aftermath set_mark(std::uint32_t generation, Mark& mark, const char* call) EXCLUDES(mutex_);
  /// What a wait for nothing has to obey.
  void check_no_recorder(std::uint32_t generation, const char* rule, const char* call) EXCLUDES(mutex_);
  /// For a point that was submitted, or one of this stream.
  void add_wait(std::uint32_t generation, TimelinePoint point, const char* call) EXCLUDES(mutex_);
  /// For a point that may not have been. The caller holds the order mutex and has announced the wait.
  void add_held_wait(std::uint32_t generation, TimelinePoint point, HeldWaits& held, const char* call)
      EXCLUDES(mutex_);
  /// The memory layer's wait for a submitted point; false while a recorder is open or when closing. On a
  /// wrapped stream it has to be there before others put work on it: false as well if that can't be had now.
  /// settle: as Aftermath's.
  [[nodiscard]] bool try_insert_wait(TimelinePoint point, bool& settle) EXCLUDES(mutex_);

  // Wrapped streams. The pool sees to it that leases of one begin and end one at a time.
  /// Others put work on it from here on. Throws std::bad_alloc before anything has changed.
  void begin_wrapped() EXCLUDES(mutex_);
  /// They have ended to; what they have put there is covered, and nothing after it.
  Aftermath end_wrapped() noexcept EXCLUDES(mutex_);
  /// Nothing that was recorded is still to be submitted, and the last lease's work is covered.
  bool is_settled() noexcept EXCLUDES(mutex_);
  /// Submits something with that value or a later one: at once, or when what was recorded before has been
  /// submitted, or when the stream is captured no more (S12).
  Aftermath want_mark(std::uint64_t value) noexcept EXCLUDES(mutex_);
  /// The last value that covers what others have put there, or if that would need a commit, of what was
  /// committed.
  std::uint64_t cover_now(Aftermath& after) noexcept EXCLUDES(mutex_);
  /// Is all done that is on it? Not of one whose lease has ended: the driver's stream may be gone.
  bool is_idle() noexcept EXCLUDES(mutex_);
  /// Throws as check_handle, and of a wrapped stream as Backend::check_wrapped.
  void check_wrapped(std::uint32_t generation, const char* call) EXCLUDES(mutex_);

  // Recording into a given buffer of this stream.
  void record(BufferState& buffer, Operation&& operation, const char* call) EXCLUDES(mutex_);
  void open_recorder(BufferState& buffer, const char* call) EXCLUDES(mutex_);
  void end_recorder(BufferState& buffer, const char* call) EXCLUDES(mutex_);
  void drop_recorder(BufferState& buffer) noexcept EXCLUDES(mutex_);
  /// Of native work, which needs no end to be whole.
  void close_native(BufferState& buffer) noexcept EXCLUDES(mutex_);
  void add_handler(BufferState& buffer, HandlerKind kind, Handler&& handler, const char* call)
      EXCLUDES(mutex_);

  struct Commit {
    bool full = false;              ///< nothing was done: too many buffers are uncompleted
    sync::Ref<BufferState> buffer;  ///< what was committed, or the last one that was
    std::uint64_t value = 0;        ///< reached when all that is committed is done
    Aftermath after;
  };
  /// may_queue: commits also past the limit; the backend gets it when earlier buffers are done.
  Commit commit(std::uint32_t generation, bool may_queue, const char* call) EXCLUDES(mutex_);
  Commit commit(BufferState& buffer, bool may_queue, const char* call) EXCLUDES(mutex_);
  /// The default stream's handles are always valid: its generation as seen by Device::synchronize.
  /// A buffer with a recorder open, or dropped while it was, stays as it is.
  Commit commit_any(const char* call) EXCLUDES(mutex_);
  /// Hands over the memory layer's waits of the current buffer if it has nothing else; the buffer itself
  /// stays the current one.
  Aftermath flush_insertions() EXCLUDES(mutex_);

  // Giving up the current buffer; the caller holds the order mutex.
  Aftermath abandon(BufferState& buffer, HeldWaits& held, const char* call) EXCLUDES(mutex_);
  /// After drop_holder said so: what the ended lease has recorded is abandoned.
  Aftermath give_up_recorded(HeldWaits& held) noexcept EXCLUDES(mutex_);
  /// The same after the end of a lease whose stream is not the pool's to keep: what was committed and waits
  /// for what was not submitted fails as what waits for abandoned work does.
  Aftermath give_up_ended(HeldWaits& held) noexcept EXCLUDES(mutex_);
  /// Nothing is recorded or committed from here on; what is being recorded is closed.
  Aftermath close(HeldWaits& held) noexcept EXCLUDES(mutex_);

  // Order between streams; the caller holds the order mutex.
  /// From here on submitting tells, through Aftermath::settle. False if the value was submitted.
  bool announce_wait(std::uint64_t value) noexcept EXCLUDES(mutex_);
  /// Submits what waits for nothing any more.
  Aftermath submit_released() noexcept EXCLUDES(mutex_);
  /// Whether submitting has to tell.
  void set_tells(bool tells) noexcept EXCLUDES(mutex_);

  // What the backend says.
  Status may_run(std::uint64_t value) noexcept EXCLUDES(mutex_);
  Aftermath completed(std::uint64_t value, const Status& status, sync::Clock::time_point when) noexcept
      EXCLUDES(mutex_);

  // Blocking. False when the deadline has passed.
  bool wait_for_room(sync::Deadline deadline) EXCLUDES(mutex_);
  bool wait_until_completed(std::uint64_t value, sync::Deadline deadline) EXCLUDES(mutex_);
  bool wait_until_final(const BufferState& buffer, sync::Deadline deadline) EXCLUDES(mutex_);
  bool wait_until_empty(sync::Deadline deadline) EXCLUDES(mutex_);

  /// Why a failed or closed buffer did not complete.
  Status failure_of(const BufferState& buffer) EXCLUDES(mutex_);
  /// The first failure, not told yet, of a buffer of that lease; at the next call the next one's.
  Status take_first_failure(std::uint32_t generation) EXCLUDES(mutex_);
  /// The same of any lease.
  Status take_first_failure() EXCLUDES(mutex_);
  /// Is the calling thread running a handler of a buffer that is not done?
  bool in_handler_of_unfinished() EXCLUDES(mutex_);

  std::uint64_t buffers_committed() const noexcept {
    // acquire: pairs with the release of add_single_writer; a statistic.
    return committed_count_.load(std::memory_order_acquire);
  }
  std::uint64_t buffers_abandoned() const noexcept {
    // acquire: as above.
    return abandoned_count_.load(std::memory_order_acquire);
  }

 private:
  ErrorContext context(const char* call) const;
  /// A handle's generation and its number of holders, which change together.
  struct LeaseWord {
    static constexpr std::uint64_t make(std::uint32_t generation, std::uint32_t holders) noexcept {
      return std::uint64_t{generation} << 32 | holders;
    }
    static constexpr std::uint32_t generation(std::uint64_t word) noexcept {
      return static_cast<std::uint32_t>(word >> 32);
    }
    static constexpr std::uint32_t holders(std::uint64_t word) noexcept {
      return static_cast<std::uint32_t>(word);
    }
  };

  void check_usable(std::uint32_t generation, const char* call) REQUIRES(mutex_);
  /// Can work be put on a wrapped stream? Throws as Backend::check_wrapped. Its lease lasts, and doesn't end
  /// before the mutex is let go (S14).
  void check_wrapped(const char* call) REQUIRES(mutex_);
  void check_recording(const BufferState& buffer, const char* rule, const char* call) REQUIRES(mutex_);
  void check_no_recorder(const char* rule, const char* call) REQUIRES(mutex_);
  /// The current buffer, which is begun if there is none.
  BufferState& recording() REQUIRES(mutex_);
  /// The same through a handle. Throws as check_usable.
  BufferState& recording(std::uint32_t generation, const char* call) REQUIRES(mutex_);
  Segment& new_segment(BufferState& buffer) REQUIRES(mutex_);
  Segment& segment_for_wait(std::uint32_t generation, const char* call) REQUIRES(mutex_);
  Segment& segment_for_wait(BufferState& buffer) REQUIRES(mutex_);
  void add(BufferState& buffer, Operation&& operation, const char* call) REQUIRES(mutex_);
  void add_to(HandlerJob& job, BufferState& buffer, Handler&& handler) REQUIRES(mutex_);

  Commit commit_current(bool may_queue, const char* call) REQUIRES(mutex_);
  /// A buffer of ours with one segment, the next, that covers what others have put there.
  sync::Ref<BufferState> make_marker() REQUIRES(mutex_);
  /// The same in two steps: all that may fail, and the value.
  sync::Ref<BufferState> make_empty_marker();
  sync::Ref<BufferState> begin_marker(sync::Ref<BufferState> marker) noexcept REQUIRES(mutex_);
  void hand_over_marker(sync::Ref<BufferState> marker) noexcept REQUIRES(mutex_);
  /// Does what want_mark and end_wrapped ask for, if it can be done now; false if it submitted nothing.
  bool put_marks() noexcept REQUIRES(mutex_);
  bool others_capture() const noexcept;
  bool all_submitted() const noexcept { return timeline_.last_used() == timeline_.submitted(); }
  void hand_over_current() noexcept REQUIRES(mutex_);
  void hand_over(sync::Ref<BufferState> given) noexcept REQUIRES(mutex_);
  void give_up_current(HeldWaits& held, BufferStatus status, const Status& failure) noexcept REQUIRES(mutex_);
  static void give_up(Segment& segment, const Status& failure) noexcept;

  // Moving along what was handed over (progress.cc).
  Aftermath progress() noexcept REQUIRES(mutex_);
  bool submit_ready() noexcept REQUIRES(mutex_);
  bool waits_are_submitted(const Segment& segment) const noexcept;
  void submit(Segment& segment) noexcept REQUIRES(mutex_);
  void tell_scheduled() noexcept REQUIRES(mutex_);
  void finish_front(const Status& status, sync::Clock::time_point when, Fifo<Segment>& finished) noexcept
      REQUIRES(mutex_);
  void set_final_statuses(std::uint64_t value) noexcept REQUIRES(mutex_);
  void note_failure(const Status& failure, std::uint32_t generation) noexcept REQUIRES(mutex_);
  void retire_buffers() noexcept REQUIRES(mutex_);
  void tell(BufferState& buffer, HandlerJob& job, BufferStatus status) noexcept REQUIRES(mutex_);

  StreamPool& pool_;
  const int slot_;
  const StreamKind kind_;
  const int max_uncompleted_;
  const Status abandoned_failure_;  // what waiters of abandoned work get

  Timeline timeline_;  // written under mutex_
  sync::atomic<std::uint64_t> lease_{LeaseWord::make(1, 0)};
  sync::atomic<bool> recording_{false};  // is there a current_? Written under mutex_
  FailureLog failures_;
  sync::atomic<std::uint64_t> committed_count_{0}, abandoned_count_{0};  // written under mutex_

  sync::Mutex mutex_;
  sync::ConditionVariable changed_;  // something completed, was abandoned, or closing_ was set
  sync::Ref<BufferState> current_ GUARDED_BY(mutex_);         // recording, or null
  sync::Ref<BufferState> last_committed_ GUARDED_BY(mutex_);  // may be done; null at first and when closing
  Fifo<BufferState> buffers_ GUARDED_BY(mutex_);              // handed over, each with a reference of ours
  BufferState* next_scheduled_ GUARDED_BY(mutex_) = nullptr;  // the first of them not wholly submitted
  Fifo<Segment> ready_ GUARDED_BY(mutex_);
  Fifo<Segment> running_ GUARDED_BY(mutex_);
  std::uint64_t next_sequence_ GUARDED_BY(mutex_) = 1;
  int uncompleted_ GUARDED_BY(mutex_) = 0;  // committed, not final
  int started_ GUARDED_BY(mutex_) = 0;      // buffers with a segment submitted, not yet retired
  sync::Clock::time_point completed_at_ GUARDED_BY(mutex_){};  // when the timeline's completed was reached
  struct UntoldFailure {
    Status status;
    std::uint32_t generation = 0;
  };
  UntoldFailure untold_failure_ GUARDED_BY(mutex_);  // the first of the lease that is now, or was the last
  UntoldFailure older_failure_ GUARDED_BY(mutex_);   // the first of those before
  std::uint64_t wanted_mark_ GUARDED_BY(mutex_) =
      0;  // wrapped: something is to be submitted with it, or later
  std::array<sync::Ref<BufferState>, 2> end_marks_
      GUARDED_BY(mutex_);                   // wrapped: of the lease's end, while it lasts
  bool ending_ GUARDED_BY(mutex_) = false;  // wrapped: the last lease ended, and its work is not covered
  bool tells_ GUARDED_BY(mutex_) = false;   // held waits may concern it: submitting sets Aftermath::settle
  bool closing_ GUARDED_BY(mutex_) = false;
};

}  // namespace millrace
