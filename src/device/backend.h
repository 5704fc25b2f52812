// The device contract: what a backend does for the layers above it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <millrace/device.h>

#include "device/graph.h"
#include "device/operation.h"
#include "device/status.h"
#include "sync/clock.h"
#include "sync/ref.h"

namespace millrace {

/// The number of a stream in its pool; the backend has one queue for each.
using QueueId = int;

/// What a stream that somebody else made is known by.
struct StreamIdentity {
  /// The driver's, which no other stream ever gets. Of one that is being captured it can't be asked for.
  std::optional<std::uint64_t> number;
  std::uintptr_t handle = 0;  ///< another stream's, once this one is gone
  bool lasts = false;         ///< at least as long as the device is open
};

/// A point on a queue's timeline. Values start at 1 and grow; 0 is done from the start.
struct TimelinePoint {
  QueueId queue = 0;
  std::uint64_t value = 0;
};

/// What a backend keeps a submission in.
class SubmissionHolder {
 public:
  virtual ~SubmissionHolder() = default;
};

/// A piece of a command buffer: runs after its waits, in order after what was submitted to its queue
/// before, and reaches its value when done.
struct Submission {
  QueueId queue = 0;
  std::uint64_t value = 0;           ///< the next on the queue's timeline
  std::vector<TimelinePoint> waits;  ///< all of them were submitted before
  std::vector<Operation> operations;
  std::uint64_t sequence = 0;  ///< of the command buffer in its stream, for reports
  /// It follows work of a caller's own on the driver's stream (native_stream, wrap): whatever becomes of it,
  /// it is not reported, nor refused, before that is done.
  bool native = false;
  /// It runs nothing and completes with a failure, which may_run gives.
  bool given_up = false;
  /// Somebody wants to know when it was done, as exactly as the device can tell.
  bool timed = false;
  /// Points whose failure is its own, of its queue or of others; valid until it was reported.
  std::span<const TimelinePoint> dependencies = {};
  /// From Backend::make_holder.
  std::unique_ptr<SubmissionHolder> holder = nullptr;
};

/// What a backend tells the layers above. Implemented by the stream layer.
class CompletionSink {
 public:
  /// Asked when a submission's turn has come and its waits are over, which is after completed has returned
  /// for them and for the one before: a failure means it must not run and completes with that status. Called
  /// on the backend's threads, with no lock held.
  ///
  /// A backend that fills its device's queues ahead of time need not ask about a submission that was not
  /// given up, when what it depends on and the value before it have not failed, and like what it waits for
  /// can't fail any more unless the device itself does.
  virtual Status may_run(const Submission& submission) noexcept = 0;
  /// The queue has reached the value. Called once for each submission, in order per queue, on the
  /// backend's threads, with no lock held. May submit.
  virtual void completed(TimelinePoint point, Status status, sync::Clock::time_point when) noexcept = 0;

 protected:
  ~CompletionSink() = default;
};

/// What a device says of its memory, other processes counted.
struct MemoryRoom {
  std::size_t free = 0;
  std::size_t total = 0;
};

/// How much of a range was given up, and how much of that is at the new place: after a failure less, and the
/// rest is lost.
struct Moved {
  std::size_t gone = 0;
  std::size_t arrived = 0;
  Status status{};
};

/// Memory of one kind, as a device presents it: addresses first, memory behind them later.
///
/// Thread safety: all members from any thread; calls for the same range one at a time.
class MemorySource {
 public:
  /// The unit of commit: a power of two.
  virtual std::size_t granule() const noexcept = 0;
  /// Is a reservation committed as a whole or not at all? Then reserve may take its memory already, which
  /// release gives back, and what was decommitted is only released. Otherwise parts are committed as they are
  /// needed.
  virtual bool commits_whole() const noexcept { return false; }

  /// Address space without memory; a multiple of granule, aligned to it.
  virtual Status reserve(std::size_t bytes, void** base) noexcept = 0;
  virtual void release(void* base, std::size_t bytes) noexcept = 0;
  /// Memory for part of a reservation, in whole granules. OutOfMemory when there is none.
  virtual Status commit(void* address, std::size_t bytes) noexcept = 0;
  /// The same faster, where the device has memory in larger chunks, which stay longer: for what hardly
  /// changes.
  virtual Status commit_lasting(void* address, std::size_t bytes) noexcept { return commit(address, bytes); }
  /// The part of a committed range that decommit can give back by itself; empty if there is none. A device
  /// may take memory back only in the chunks in which it was committed.
  virtual std::span<std::byte> decommittable(void* address, std::size_t bytes) const noexcept = 0;
  /// A range that decommittable named, or neighbours of them.
  virtual void decommit(void* address, std::size_t bytes) noexcept = 0;
  /// Memory gets another address: the beginning of a range that decommittable named, as much of it as holds
  /// the wanted bytes or fits the room, is decommitted, and what was behind it is committed at to. Its
  /// contents are undefined. wanted and room are multiples of granule. Nothing happens where the room is too
  /// small for the first of what the device can move.
  virtual Moved move(std::span<std::byte> range, void* to, std::size_t wanted, std::size_t room) noexcept;

  /// Nothing where the device does not say. For reports, so it may take a while.
  virtual std::optional<MemoryRoom> room() const noexcept { return std::nullopt; }

 protected:
  ~MemorySource() = default;
};

/// One device, as a driver presents it. As a source of memory it gives the device's own.
///
/// Thread safety: all members from any thread, but start, which comes first, and stop, which comes
/// last. Submissions to one queue come one at a time.
class Backend : public MemorySource {
 public:
  virtual ~Backend() = default;

  virtual const DeviceInfo& info() const noexcept = 0;
  /// What DeviceOptions::memory_limit 0 stands for.
  virtual std::size_t default_memory_limit() const noexcept = 0;

  /// queues: how many there will be. Starts threads; DeviceLost or OutOfMemory when it can't.
  virtual Status start(int queues, CompletionSink& sink) = 0;
  /// The queue's work comes first where the device has a choice. Right after start.
  virtual void raise_priority(QueueId queue) noexcept;
  /// After the last completion was reported. Joins the backend's threads.
  virtual void stop() noexcept = 0;
  /// The process is exiting and will not wait: running operations end, nothing new starts, what is
  /// left completes with Closed. stop follows. Called at most once, on any thread, also one of ours.
  virtual void cancel() noexcept = 0;

  /// Memory of the host's that the device's work reaches as fast as it can. A device that works in the host's
  /// memory has no other.
  virtual MemorySource& pinned() noexcept { return *this; }

  /// The work of another device may touch this one's memory from here on, what is committed and what will be.
  /// Unsupported where the two have no way to each other; fine for its own name.
  virtual Status grant_access(const std::string& other_device);

  /// What a reduction needs of the device's memory besides its tensors.
  virtual std::size_t scratch_bytes(const ReduceWork& /*work*/) const noexcept { return 0; }

  /// May independent operations of a submission run at the same time? Then different memory is worth giving
  /// them.
  virtual bool joins_operations() const noexcept { return false; }

  /// What submit needs of the host's memory for one submission, made when there is somebody to tell that
  /// there is none: throws std::bad_alloc. Null where it needs none.
  virtual std::unique_ptr<SubmissionHolder> make_holder() { return nullptr; }

  /// Never waits for completions: the stream's mutex is held. A submission may have no operations. A failure
  /// means that it was not taken and is not reported: it is as it was, so that the caller destroys a user's
  /// functions where that is safe. What is refused leaves a hole in the order, with the waits that later work
  /// relies on: so one with a holder is refused only where the queues have stopped or the device is lost.
  virtual Status submit(Submission&& submission) noexcept = 0;

  /// The driver's own stream behind the queue, for work that the backend is told nothing of but by the
  /// submission that follows it. Null while something that was submitted is not on it yet; the caller sees to
  /// it that nothing is submitted meanwhile. Unsupported where there is no such stream.
  virtual Status native_stream(QueueId queue, void** stream) noexcept;
  /// An event of the driver's that stands for the point, and for nothing else until it is returned. Null
  /// while the point is neither done nor on the driver's stream. Unsupported where the driver has no events.
  virtual Status lend_native_event(TimelinePoint point, void** event) noexcept;
  /// Also after stop.
  virtual void return_native_event(QueueId queue, void* event) noexcept;

  // Streams of the driver's that somebody else made, and puts work on without telling. Unsupported, or not
  // called, where info().driver_streams is false.

  /// What a stream is known by. Its lifetime is what its owner has promised. InvalidArgument for one of
  /// another context; rules "per-thread-default-stream", and "captured-stream" for one that may end before
  /// the device.
  virtual Status identify(void* stream, StreamLifetime lifetime, StreamIdentity* identity) noexcept;
  /// From here on the queue is that stream, after all that was put on the one before. Nothing is submitted
  /// meanwhile. wrapped: false if it can't be now: something of the queue is still the host's, or the stream
  /// lasts and is being captured, so that it can't be made to wait for the one before. Fails, and nothing has
  /// changed, with rule "captured-stream" and DeviceLost.
  virtual Status wrap(QueueId queue, void* stream, const StreamIdentity& identity, bool* wrapped) noexcept;
  /// Can work be put on the wrapped stream? Rules "captured-stream", "destroyed-stream".
  virtual Status check_wrapped(QueueId queue) noexcept;
  /// From the return on the queue's stream is treated as one that is being captured: for 100 ms, or until
  /// expected is false. Waits as long for what is being put there.
  virtual void expect_capture(QueueId queue, bool expected) noexcept;
  /// The driver's number for a stream, at once and of any stream: nothing is checked. False where the driver
  /// does not tell, as of a stream that is being captured.
  virtual bool number_of(void* stream, std::uint64_t* id) noexcept;
  /// Waits until all is done that is on a stream which can't be wrapped. False at once if it is being
  /// captured.
  virtual bool finish(void* stream) noexcept;
  /// Is all done that anybody has put on the wrapped stream? True as well when it can't be told any more.
  virtual bool is_idle(QueueId queue) noexcept;

  // Captures: a queue whose work does not run but becomes part of a graph. Everything submitted to it is
  // reported as soon as it was captured.

  /// Nothing of the queue is underway. Unsupported where there are no graphs.
  virtual Status begin_capture(QueueId queue) noexcept;
  /// Another queue becomes part of origin's capture, behind what that has now: everything that was submitted
  /// to it was reported, and nothing of the other one is underway.
  virtual Status begin_branch(QueueId queue, QueueId origin) noexcept;
  /// Everything that was submitted to the queue and its branches was reported. graph: null where it is not
  /// wanted. Rules "capture-invalidated" and "unjoined-branch"; the capture has ended in any case.
  virtual Status end_capture(QueueId queue, std::span<const QueueId> branches,
                             sync::Ref<DeviceGraph>* graph) noexcept;
  /// Rule "not-capturable", if the operation can't be part of a graph.
  virtual Status check_capturable(const Operation& operation) const noexcept;

  /// A host thread is about to wait for the queue: runs its next submission on the calling thread, if that is
  /// ready and runs no code of the user's. False if there was nothing to do; the caller holds no lock.
  virtual bool assist(QueueId queue) noexcept = 0;
  /// A host thread has learned that the queue reached the value: later work is ordered after it. Also after
  /// stop.
  virtual void host_knows(TimelinePoint point) noexcept = 0;
  /// Protect mode: nothing may touch the range until it is accessible again. Whole pages of it, that is;
  /// best effort. A backend without protection does nothing.
  virtual void set_accessible(void* address, std::size_t bytes, bool accessible) noexcept = 0;
  virtual std::vector<MissingDependency> missing_dependencies() const = 0;
  /// Is the caller one of the backend's own threads?
  virtual bool on_own_thread() const noexcept = 0;
};

/// A part of a device's memory, in whole granules. Throws InvalidArgument for what is no part; what: whose
/// value it is.
std::size_t memory_part(const DeviceInfo& info, std::size_t granule, double fraction, const char* what);

/// The limit that the options set: of memory_limit, or usual where that is 0, and memory_fraction the
/// smaller.
std::size_t memory_limit_of(const DeviceOptions& options, const DeviceInfo& info, std::size_t granule,
                            std::size_t usual);

}  // namespace millrace
