// A point in a stream's work that others can wait for, ask about and time.
#pragma once

#include <chrono>
#include <cstdint>

#include <millrace/export.h>
#include <millrace/stream.h>

namespace millrace {

/// Owns a pooled event; returned to the pool when it ends, also after the device has closed.
///
/// Each record starts a new generation: whoever waits for an older one is not fooled by it. If the
/// marked work fails, waiters get its error. An event that was never recorded counts as done.
///
/// Thread safety: any thread may call anything but move and destruction at any time.
/// Errors: InvalidState ("stale-stream", "event-inside-encoder", "waited-work-abandoned" from wait,
/// "event-not-recorded" and "event-not-done" from elapsed_since, those of native; "captured-event" from
/// query, wait, elapsed_since and native of one that was recorded inside a capture; "captured-stream" and
/// "destroyed-stream" from record on a wrapped stream), InvalidArgument for a stream or event of another
/// device, Closed, ForkedProcess.
class MILLRACE_API Event {
 public:
  Event() = default;
  Event(Event&& other) noexcept;
  Event& operator=(Event&& other) noexcept;
  ~Event();

  bool valid() const noexcept { return device_ != 0; }

  /// Marks everything recorded in the stream so far. It is done once that has been committed and run.
  void record(Stream stream);
  /// Done? One load where the stream's timeline is known. True also when the work failed.
  bool query() const;
  /// Blocks until done; throws the error of failed work. Does not commit for you: work that nobody
  /// commits is waited for until somebody does.
  void wait() const;
  /// The same with a limit; TimedOut when it is reached.
  void wait(std::chrono::nanoseconds limit) const;
  /// How many times it was recorded.
  std::uint64_t generation() const;
  /// From when earlier's work was done to when this one's was. Both must be done.
  std::chrono::nanoseconds elapsed_since(const Event& earlier) const;
  /// The driver's event for what is marked now, for streams and threads of the caller's own to wait for. It
  /// lasts until this one is recorded again or ends, or the device is closed; it is not to be recorded or
  /// destroyed. CUDA: a cudaEvent_t of the device's primary context.
  ///
  /// Blocks while the device can't have the marked work yet (a host task, or work that waits for what was not
  /// committed). Who waits for the driver's event does not hear of a failure; one that is known already is
  /// thrown. Throws Unsupported where the driver has no events; rules "event-not-committed", and
  /// "wait-in-own-handler" in a host task where it would have to block.
  void* native() const;
  /// Returns it to the pool now.
  void reset() noexcept;

 private:
  friend struct detail::Access;
  Event(std::uint64_t device, std::uint32_t slot, std::uint32_t lease)
      : device_(device), slot_(slot), lease_(lease) {}
  std::uint64_t device_ = 0;
  std::uint32_t slot_ = 0;
  std::uint32_t lease_ = 0;  // tells this owner of the slot from earlier ones
};

}  // namespace millrace
