// Streams, the command buffers they record into, and the handlers that hear how those went.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include <millrace/error.h>
#include <millrace/export.h>

namespace millrace {

class CommandBuffer;
class Device;
class Event;
class NativeRecorder;
class Recorder;

namespace detail {
class BufferState;
struct Access;
}  // namespace detail

/// Where a command buffer stands. States only go forward, in this order; the last four are final.
enum class BufferStatus : std::uint8_t {
  recording,
  committed,  ///< closed; waits for something it depends on to be submitted
  scheduled,  ///< handed to the device's queue, and everything it waits for before it
  completed,
  failed,     ///< its work failed, or what it depends on did; see CommandBuffer::error
  abandoned,  ///< dropped before it was committed: none of it ran
  closed,     ///< the device closed before it ran
};

/// "recording", "committed", and so on.
MILLRACE_API const char* to_string(BufferStatus status) noexcept;
/// Completed, failed, abandoned or closed?
constexpr bool is_final(BufferStatus status) noexcept {
  return status >= BufferStatus::completed;
}

/// What a handler is told.
struct Completion {
  BufferStatus status = BufferStatus::completed;
  /// Why, where the status is failed or closed. Rethrow or inspect; null otherwise.
  std::exception_ptr error;
  int stream = -1;
  /// Grows by one with each command buffer of the stream.
  std::uint64_t sequence = 0;
};

/// Runs exactly once, on a thread of the device, with no lock held, in order per stream.
///
/// MAY allocate, free, record, commit, ask, add handlers to other buffers, drop any handle; wait for
/// other command buffers.
/// MUST NOT close the device or wait for the handler's own command buffer (both are refused by
/// name), or throw (an exception is caught, counted in the stats and dropped).
/// A scheduled handler of a buffer that is never scheduled runs all the same, before its completed
/// handlers, and is told why.
using Handler = std::function<void(const Completion&)>;

/// Whether an operation reads memory or changes it.
enum class AccessMode : std::uint8_t { read, write };

/// A range of device memory that an operation touches. Declaring it lets the strict rules and protect
/// mode see it; for memory that is not of this device it is ignored.
struct Use {
  const void* address = nullptr;
  std::size_t bytes = 0;
  AccessMode mode = AccessMode::read;
};

/// A range that an operation reads.
inline Use reads(const void* address, std::size_t bytes) {
  return {address, bytes, AccessMode::read};
}
/// A range that an operation changes.
inline Use writes(void* address, std::size_t bytes) {
  return {address, bytes, AccessMode::write};
}

/// A place in the caller's source, for reports. Filled in by default arguments.
struct SourcePlace {
  const char* file = "";
  int line = 0;

  static constexpr SourcePlace here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }
};

/// Work on the host backend: any callable. It runs on a thread of the device, in stream order. An
/// exception it throws fails its command buffer.
using HostTask = std::function<void()>;

/// An ordered queue of work. A value: copy it freely, it does not own the stream.
///
/// Work is recorded into the stream's current command buffer, and runs once that is committed.
/// A stream belongs to whoever leased it; after the lease has ended (the thread is gone, the
/// StreamLease was dropped) every call throws InvalidState, rule "stale-stream".
///
/// Thread safety: any thread may call anything at any time; two threads that record into one stream
/// get some order. Errors of all calls: InvalidState with the broken rule, Closed, ForkedProcess.
class MILLRACE_API Stream {
 public:
  Stream() = default;

  /// The number in the pool; 0 is the default stream.
  int id() const noexcept { return slot_; }
  bool valid() const noexcept { return device_ != 0; }

  /// Copies between any two places: host memory, device memory, the same device.
  /// Host memory must stay valid until the copy has run.
  void copy(void* to, const void* from, std::size_t bytes, SourcePlace place = SourcePlace::here());
  /// Sets each byte.
  void fill(void* to, std::uint8_t value, std::size_t bytes, SourcePlace place = SourcePlace::here());
  /// Throws Unsupported on devices that do not run host code.
  void run(std::string name, HostTask task, std::initializer_list<Use> uses = {},
           SourcePlace place = SourcePlace::here());
  void run(std::string name, HostTask task, std::span<const Use> uses,
           SourcePlace place = SourcePlace::here());
  /// Opens a recorder on the current command buffer; rule "one-encoder" while another is open.
  Recorder record();
  /// Opens the driver's own stream for work that the caller puts on it: kernels, calls of libraries. Commits
  /// what was recorded before; if the device can't have all of that yet (a host task, or work that waits for
  /// what was not committed), blocks until it is done. uses: what that work touches, so that the strict rules
  /// see it. Throws Unsupported where the driver has no streams; rule "one-encoder" while a recorder is open
  /// ("encoder-open-at-commit" if another thread opens one meanwhile), "wait-in-own-handler" where it would
  /// have to block.
  NativeRecorder record_native(std::initializer_list<Use> uses = {});

  /// What is recorded from here on runs after what the event marks, and fails if that failed. Does not
  /// block the caller. If the marked work has not been committed yet, what is recorded from here on is held
  /// until it is. Such waits never form a circle: each is for work recorded before it, and what a buffer
  /// holds before a wait or an event does not wait for what comes after. If the marked work is abandoned,
  /// this work fails, rule "waited-work-abandoned".
  void wait_event(const Event& event);

  /// Attached to the command buffer that is being recorded; one is started if there is none.
  void on_scheduled(Handler handler);
  void on_completed(Handler handler);

  /// The one being recorded; started if there is none.
  CommandBuffer command_buffer();
  /// Closes the current command buffer and hands it over. Nothing recorded: returns the last one
  /// committed (or an empty handle). Blocks while 64 buffers of this stream are uncompleted, except
  /// inside a handler, where the buffer is queued.
  CommandBuffer commit();

  /// Commits, then blocks until everything committed to the stream so far is done. Throws the first
  /// failure since the last wait. Handlers may still be running; Device::synchronize waits for them.
  void wait();
  /// The same with a limit; TimedOut when it is reached.
  void wait(std::chrono::nanoseconds limit);
  /// Is everything committed done? Does not commit. Two loads; of a wrapped stream the driver is asked, and
  /// others' work counts.
  bool query() const;

  /// The owner of a wrapped stream is about to capture it: from the return until capture_over, at most for
  /// 100 ms, and from there on while it is being captured, nothing of the device's touches the stream.
  /// Without it a capture that begins while another thread's free, event or wait is being put there is
  /// spoilt. Blocks until what is being put there is, but no longer than 100 ms. Does nothing to a stream
  /// that was not wrapped.
  void expect_capture() const;
  /// The capture has ended, or won't begin: what was held back comes on the stream.
  void capture_over() const;

  bool operator==(const Stream&) const = default;

 private:
  friend struct detail::Access;
  Stream(std::uint64_t device, int slot, std::uint32_t generation)
      : device_(device), slot_(slot), generation_(generation) {}

  std::uint64_t device_ = 0;  // never reused, so a handle that outlives its device is harmless
  int slot_ = -1;
  std::uint32_t generation_ = 0;
};

/// A stream held by an object instead of a thread; returned to the pool when it ends.
///
/// Thread safety: one thread at a time.
class MILLRACE_API StreamLease {
 public:
  StreamLease() = default;
  StreamLease(StreamLease&& other) noexcept;
  StreamLease& operator=(StreamLease&& other) noexcept;
  ~StreamLease();
  Stream stream() const noexcept { return stream_; }
  /// Ends the lease now. What was recorded and not committed is abandoned; committed work goes on. The end of
  /// a wrapped stream's last lease may block (Device::wrap), and so may the destructor then.
  void reset() noexcept;

 private:
  friend struct detail::Access;
  explicit StreamLease(Stream stream) : stream_(stream) {}
  Stream stream_;
};

/// A handle to one command buffer, for its status, its handlers and its end. Copies share it.
///
/// Thread safety: any thread, any time.
class MILLRACE_API CommandBuffer {
 public:
  CommandBuffer() = default;
  CommandBuffer(const CommandBuffer&) noexcept;
  CommandBuffer(CommandBuffer&&) noexcept;
  CommandBuffer& operator=(CommandBuffer) noexcept;
  ~CommandBuffer();

  bool valid() const noexcept { return state_ != nullptr; }
  BufferStatus status() const;
  /// Null unless failed or closed.
  std::exception_ptr error() const;

  /// Rule "one-encoder" while another recorder is open, "encode-after-commit" once committed.
  Recorder record();
  /// Rules "scheduled-handler-after-commit", "completed-handler-after-commit".
  void on_scheduled(Handler handler);
  void on_completed(Handler handler);
  /// Rules "commit-once", "encoder-open-at-commit".
  void commit();
  /// Gives up a buffer that is being recorded: none of it runs, its handlers are told "abandoned".
  /// Rule "commit-once" once committed.
  void abandon();

  /// Blocks until the status is final; throws the error of a failed or closed buffer. Rule
  /// "wait-before-commit" while recording, "wait-in-own-handler" inside a handler of this buffer.
  void wait();
  void wait(std::chrono::nanoseconds limit);

 private:
  friend struct detail::Access;
  explicit CommandBuffer(detail::BufferState* state) noexcept : state_(state) {}  // takes the reference
  detail::BufferState* state_ = nullptr;
};

/// Records several operations as one; the only way to record while it is open.
///
/// Thread safety: one thread at a time.
class MILLRACE_API Recorder {
 public:
  Recorder(Recorder&& other) noexcept;
  Recorder& operator=(Recorder&&) = delete;
  /// Dropped without end(): the buffer is marked, and its commit throws InvalidState, rule
  /// "encoder-dropped-open".
  ~Recorder();

  Recorder& copy(void* to, const void* from, std::size_t bytes, SourcePlace place = SourcePlace::here());
  Recorder& fill(void* to, std::uint8_t value, std::size_t bytes, SourcePlace place = SourcePlace::here());
  Recorder& run(std::string name, HostTask task, std::initializer_list<Use> uses = {},
                SourcePlace place = SourcePlace::here());
  Recorder& run(std::string name, HostTask task, std::span<const Use> uses,
                SourcePlace place = SourcePlace::here());
  /// Rule "encode-after-end" when called twice.
  void end();

 private:
  friend struct detail::Access;
  explicit Recorder(detail::BufferState* state) noexcept : state_(state) {}
  detail::BufferState* state_ = nullptr;
};

/// The time in which the caller puts work of its own on the driver's stream. That work runs at once, after
/// what the stream was given before. What comes after, frees and events too, is ordered after it, and it
/// counts as done when the command buffer that is being recorded is done: so commit. If that buffer is
/// abandoned the work has run all the same, and memory is still not reused before it is done.
///
/// Ends before its command buffer is abandoned, the lease of its stream ends or the device is closed: work
/// that is put on the stream later is ordered with nothing and waited for by nobody.
///
/// Thread safety: one thread at a time.
class MILLRACE_API NativeRecorder {
 public:
  NativeRecorder(NativeRecorder&& other) noexcept;
  NativeRecorder& operator=(NativeRecorder&&) = delete;
  /// As end.
  ~NativeRecorder();

  /// CUDA: a cudaStream_t of the device's primary context, in which the caller's thread has to be
  /// (cudaSetDevice). Rule "encode-after-end" after the end, "encode-after-commit" once the command buffer
  /// has been given up.
  void* stream() const;
  /// Other work can be recorded from here on. A second call does nothing.
  void end() noexcept;

 private:
  friend struct detail::Access;
  NativeRecorder(detail::BufferState* state, void* stream) noexcept : state_(state), stream_(stream) {}
  detail::BufferState* state_ = nullptr;
  void* stream_ = nullptr;
};

}  // namespace millrace
