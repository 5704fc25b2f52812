// The streams of a device: who has which, what they wait for, and what the backend reports of them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <millrace/device.h>

#include "device/backend.h"
#include "device/core.h"
#include "device/operation.h"
#include "device/status.h"
#include "stream/command_buffer.h"
#include "stream/dispatch.h"
#include "stream/held_waits.h"
#include "stream/lease.h"
#include "stream/stream_state.h"
#include "stream/wrapped.h"
#include "sync/atomic.h"
#include "sync/clock.h"
#include "sync/mutex.h"
#include "sync/ref.h"

namespace millrace {

/// Thread safety: all members from any thread. Members that may throw enter the device's gate themselves;
/// those that block do so outside the gate, with no lock held. The order mutex comes before any stream's, and
/// that of the wrapped streams before both.
class StreamPool final : public Layer, public CompletionSink {
 public:
  struct Options {
    int streams = 32;
    int high_priority_streams = 0;
    int wrapped_streams = 0;  ///< slots for those that others made
    int captures = 0;         ///< slots for captures
    ExhaustionPolicy exhaustion = ExhaustionPolicy::share;
    std::chrono::milliseconds exhaustion_timeout{1000};
    int max_uncompleted = 64;  ///< command buffers a stream
    int failures_kept = 64;    ///< failed command buffers a stream
    std::chrono::nanoseconds exit_wait = std::chrono::seconds(2);

    static Options from(const DeviceOptions& options, const DeviceInfo& info) {
      Options result;
      result.streams = options.streams;
      result.high_priority_streams = options.high_priority_streams;
      if (info.driver_streams) {
        result.wrapped_streams = options.wrapped_streams;
        result.captures = options.captures;
      }
      result.exhaustion = options.exhaustion;
      result.exhaustion_timeout = options.exhaustion_timeout;
      return result;
    }
  };

  StreamPool(Core& core, const Options& options);

  static StreamPool& of(Core& core) noexcept {
    return static_cast<StreamPool&>(core.layer(LayerId::streams));
  }

  Core& core() const noexcept { return core_; }
  int size() const noexcept { return static_cast<int>(streams_.size()); }
  /// The slots from there on are captures'. Those before are, in order, ordinary, of high priority, wrapped.
  int first_captured() const noexcept { return first_captured_; }
  /// Tells the backend which streams are to be of high priority; once it was started.
  void raise_priorities() noexcept;

  // Which stream. These two: whoever holds the context, on its own thread.
  /// A guard's stream, or the thread's own lease; slot -1 if it has none yet. Throws InvalidState, rule
  /// "stale-stream", for a guard whose stream's lease has ended.
  static StreamId current_if_leased(Context& context) {
    const Context::CurrentStream guarded = context.current_stream;
    if (guarded.slot < 0) [[likely]]
      return leased(context);
    const StreamId stream{guarded.slot, guarded.generation};
    own_part(context).pool_.check_lease(stream, "using the current stream");
    return stream;
  }
  /// Slot -1 if the thread has no lease yet.
  static StreamId leased(Context& context) noexcept { return own_part(context).stream_; }
  /// As current_if_leased, but takes the lease that is missing. Nobody holds the context: it is not held
  /// either while a lease is waited for (O1). Throws as the exhaustion policy says, and Closed.
  static StreamId current(Context& context, const char* call);

  StreamId default_stream() const noexcept { return {0, 1}; }
  /// For an object: end_lease gives it back. Nobody holds the context, the calling thread's.
  StreamId lease(Context& context, const char* call, StreamPriority priority = StreamPriority::normal);
  /// From any thread; mine is its context, or null. The slot is kept with the thread or becomes free.
  void end_lease(Context* mine, int slot) noexcept;
  /// A stream that somebody else made; for an object, as lease. Throws as Device::wrap.
  StreamId wrap(void* stream, StreamLifetime lifetime, const char* call);
  /// As Stream::expect_capture, and capture_over.
  void expect_capture(StreamId id, bool expected, const char* call);
  /// The driver's number of a wrapped stream whose lease lasts; 0 where nobody has asked for it.
  std::uint64_t wrapped_number(int slot) noexcept { return wrapped_.number_of(slot); }
  /// Throws rule "stale-stream", InvalidArgument, Closed.
  void check_handle(StreamId stream, const char* call);
  /// The same without a lock for a lease that lasts; does not see that the device is closing.
  void check_lease(StreamId stream, const char* call) {
    if (state_of(stream, call).generation() != stream.generation) [[unlikely]]
      check_handle(stream, call);
  }
  /// Does its lease last? The handle is one that this pool gave.
  bool lasts(StreamId stream) const noexcept { return state(stream.slot).generation() == stream.generation; }

  // Captures (capture.cc). A slot is the caller's from acquire_capture until free_capture. One thread at a
  // time for one capture.
  /// Throws PoolExhausted, Unsupported, Closed.
  int acquire_capture(const char* call);
  StreamId begin_capture(int slot, const char* call);
  /// The slot becomes a stream of the same capture, behind what its streams have recorded, which is
  /// committed. Throws the rules of committing.
  StreamId begin_branch(StreamId origin, int slot, const char* call);
  /// Those that begin_branch has made.
  std::span<const int> branches_of(int slot) const noexcept { return capture_slot(slot).branches; }
  /// Commits and ends the capture and its branches, or throws and the capture goes on: the rules of
  /// committing. Otherwise the streams' leases have ended, and what went wrong is in failed.
  struct Captured {
    sync::Ref<DeviceGraph> graph;
    Status failed;
  };
  Captured end_capture(StreamId id, const char* call);
  void abort_capture(StreamId id) noexcept;
  /// And its branches.
  void free_capture(int slot) noexcept;
  /// Are both slots of one capture that is underway?
  bool in_one_capture(int slot, int other) const noexcept;
  /// Rule "captured-event", for a point of work that does not run.
  void refuse_captured(TimelinePoint point, const char* call) const {
    if (point.queue >= first_captured_ && point.value != 0) [[unlikely]]
      throw_captured_event(call);
  }

  // Recording. Rules as in millrace/stream.h.
  void record(StreamId stream, Operation&& operation, const char* call);
  /// The same with the calling thread's context, which it holds meanwhile in place of passing the gate: that
  /// is a word which all threads of the device change, and many record at once. Closing waits for holders
  /// too.
  void record(Context& context, StreamId stream, Operation&& operation, const char* call);
  sync::Ref<BufferState> current_buffer(StreamId stream, const char* call);
  sync::Ref<BufferState> open_recorder(StreamId stream, const char* call);
  void add_handler(StreamId stream, HandlerKind kind, Handler&& handler, const char* call);
  /// The mark is set to the end of what was recorded in the stream.
  void set_mark(StreamId stream, Mark& mark, const char* call);
  /// What is recorded from here on runs after the point, and fails if that failed.
  void wait_for(StreamId stream, TimelinePoint point, const char* call);

  /// Commits, and blocks if the backend can't put all of it on the driver's stream at once.
  struct Native {
    sync::Ref<BufferState> buffer;  ///< with a recorder open, for StreamState::close_native
    void* stream = nullptr;
  };
  Native open_native(StreamId id, std::span<const Use> uses, const char* call);

  void record(BufferState& buffer, Operation&& operation, const char* call);
  void open_recorder(BufferState& buffer, const char* call);
  void end_recorder(BufferState& buffer, const char* call);
  void add_handler(BufferState& buffer, HandlerKind kind, Handler&& handler, const char* call);

  /// What was committed, or the buffer that was last; null if none was.
  sync::Ref<BufferState> commit(StreamId id, const char* call) {
    return commit(id, std::nullopt, call).buffer;
  }
  void commit(BufferState& buffer, const char* call);
  void abandon(BufferState& buffer, const char* call);

  // Waiting for the host. TimedOut; the failure of what was waited for.
  void wait(StreamId id, sync::Deadline deadline, const char* call);
  void wait(BufferState& buffer, sync::Deadline deadline, const char* call);
  void wait(TimelinePoint point, sync::Deadline deadline, const char* call);
  bool query(StreamId id, const char* call);
  /// Commits all, waits for all and for all handlers; throws the first failure.
  void synchronize(const char* call);

  // For the layers below. No lock is held by the caller, an arena's neither.
  const Timeline& timeline(int slot) const noexcept { return state(slot).timeline(); }
  bool is_completed(TimelinePoint point) const noexcept {
    return timeline(point.queue).completed() >= point.value;
  }
  /// Why a completed point failed; ok for one that did not, or is not completed.
  Status status_of(TimelinePoint point) const noexcept;
  /// False when the deadline has passed, and at once when waiting makes no sense: the point has not been
  /// committed, or the caller is one of the backend's threads.
  bool wait_until_completed(TimelinePoint point, sync::Deadline deadline);
  /// Adds a wait for a submitted point to what is recorded in the stream from here on. It orders and does
  /// not inherit the point's failure. False if a recorder is open or the device is closing. The caller may
  /// hold its context.
  bool try_insert_wait(int slot, TimelinePoint point);
  /// Has the point of a wrapped stream reached by itself, when everything is done that is on it now (S12).
  /// Does nothing for other streams.
  void cover(TimelinePoint point) noexcept;
  /// The same of all that is on any wrapped stream now.
  void cover_all() noexcept;
  /// The same for all that is on wrapped streams; looks for a while whether it is done where they are idle.
  /// No context is held.
  void cover_wrapped() noexcept;
  /// Hands over inserted waits that nobody may ever commit, so that they end by themselves and memory
  /// freed after them can be taken back: those of streams in whose current buffer nothing else is, which
  /// stays recordable. Does not wait, enters no gate; no lock and no context is held by the caller.
  void flush_insertions();

  StreamStats stats() const;
  Dispatcher& dispatcher() noexcept { return dispatcher_; }
  const Status& closed_failure() const noexcept { return closed_failure_; }

  // CompletionSink
  Status may_run(const Submission& submission) noexcept override;
  void completed(TimelinePoint point, Status status, sync::Clock::time_point when) noexcept override;

  // Layer
  std::unique_ptr<ContextPart> make_part(Context& context) override;
  void begin_close(CloseMode mode) noexcept override;
  void end_exit() noexcept override;

 private:
  friend class LeasePart;

  static LeasePart& own_part(const Context& context) noexcept {
    return static_cast<LeasePart&>(*context.part(LayerId::streams));
  }

  friend class WrappedStreams;

  /// What a slot for captures is a part of. Written by who has the capture.
  struct CaptureSlot {
    // Who is told of a stream is told by something that orders this, so relaxed throughout.
    sync::atomic<int> origin{-1};          ///< the slot of the capture's own stream, while it is underway
    sync::atomic<std::uint64_t> since{0};  ///< values up to that are of captures before
    std::vector<int> branches;             ///< of an origin
  };
  CaptureSlot& capture_slot(int slot) noexcept {
    return capture_slots_[static_cast<std::size_t>(slot - first_captured_)];
  }
  const CaptureSlot& capture_slot(int slot) const noexcept {
    return capture_slots_[static_cast<std::size_t>(slot - first_captured_)];
  }
  StreamId begin_captured_lease(int slot, int origin) noexcept;

  /// A lease of a slot that others hold, in turn; nothing if there is none.
  std::optional<StreamId> share_lease(int first_slot, int slots) noexcept;
  StreamState& state(int slot) const noexcept { return *streams_[static_cast<std::size_t>(slot)]; }
  /// Of a stream that comes from outside. Throws InvalidArgument.
  StreamState& state_of(StreamId stream, const char* call) const;
  StreamState::Commit commit(StreamId id, sync::Deadline deadline, const char* call);
  /// Whatever is recorded in the stream, whoever holds it.
  std::uint64_t commit_any(StreamState& stream, const char* call);
  template <typename Try>
  StreamState::Commit commit_when_room(StreamState& stream, sync::Deadline deadline, const char* call,
                                       Try&& attempt);
  void tidy(StreamState& stream, Aftermath&& after) noexcept EXCLUDES(order_mutex_);
  void settle(int slot, Fifo<Segment>& finished) noexcept REQUIRES(order_mutex_);
  void destroy(Fifo<Segment>& finished) noexcept;
  /// Calls give_up_work, which returns an Aftermath, with the order mutex held, and tidies up after it.
  template <typename GiveUp>
  void give_up(int slot, GiveUp&& give_up_work) EXCLUDES(order_mutex_);
  /// Rules "captured-event" and "event-outside-capture", for a wait that crosses the border of a capture.
  void refuse_crossing_wait(const StreamState& waiter, TimelinePoint point, const char* call) const;
  [[noreturn]] void throw_captured_event(const char* call) const;
  void commit_captured(StreamState& stream, const char* call);
  /// Until all that was committed in the capture is a part of it.
  void wait_until_captured(int origin) noexcept;
  /// From here on nothing is put on the capture's streams, and what was is a part of it. Returns the first
  /// failure, and leaves none to the slots' next captures.
  Status end_captured_leases(int origin) noexcept;
  /// Calls visit(StreamState&) for the streams of a capture: the branches and then its own.
  template <typename Visit>
  void for_each_captured(int origin, Visit&& visit) const {
    for (const int slot : capture_slot(origin).branches) visit(state(slot));
    visit(state(origin));
  }
  /// Gives up what the ended lease of the slot, a wrapped or a captured one, has recorded, and what it has
  /// committed and still waits; destroy has to follow, with no lock held.
  Fifo<Segment> give_up_ended(int slot) EXCLUDES(order_mutex_);
  /// The value to wait for: of what was committed, and of what others have put on a wrapped stream.
  std::uint64_t value_to_wait_for(StreamState& stream, std::uint64_t committed);
  void refuse_wait_on_backend_thread(const char* call) const;
  void refuse_wait_in_own_handler(StreamState& stream, const char* call) const;
  /// What a host thread does before it blocks: runs what is ready on the stream, then looks for a while.
  template <typename Done>
  void assist(int slot, sync::Deadline deadline, const Done& done) noexcept {
    assist(
        slot, deadline, [](const void* is) { return (*static_cast<const Done*>(is))(); }, &done);
  }
  void assist(int slot, sync::Deadline deadline, bool (*done)(const void*), const void* context) noexcept;
  [[noreturn]] void throw_timed_out(std::string what, int slot, const char* call) const;

  Core& core_;
  const std::chrono::nanoseconds exit_wait_;
  const Status closed_failure_;
  const int ordinary_, first_wrapped_, first_captured_;  // see first_captured
  LeaseTable leases_, high_leases_, captures_;
  WrappedStreams wrapped_;
  // All but those in LeasePart::leases_ of a thread that lives; and those of them that share.
  sync::atomic<std::uint64_t> leases_taken_{0}, shared_leases_{0};
  sync::atomic<std::uint32_t> next_shared_{0};
  Dispatcher dispatcher_;
  std::vector<std::unique_ptr<StreamState>> streams_;
  std::vector<CaptureSlot> capture_slots_;  // from first_captured_ on
  bool handlers_stuck_ = false;             // the closing thread's alone

  sync::Mutex order_mutex_;  // taken before any stream's mutex, and only by work that others' work waits for
  HeldWaits held_ GUARDED_BY(order_mutex_);
  Fifo<Segment> leftovers_ GUARDED_BY(order_mutex_);      // finished where nothing could be destroyed (H2)
  std::vector<bool> to_settle_ GUARDED_BY(order_mutex_);  // scratch space of settle, by slot
};

}  // namespace millrace
