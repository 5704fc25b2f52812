// The state behind the public CommandBuffer and Recorder handles.
#pragma once

#include <cstdint>

#include <millrace/stream.h>

#include "device/core.h"
#include "device/fifo.h"
#include "device/status.h"
#include "stream/dispatch.h"
#include "stream/segment.h"
#include "sync/atomic.h"
#include "sync/ref.h"

namespace millrace {
class StreamState;
}

namespace millrace::detail {

/// One command buffer: segments while it is recorded, then how far they have come. Public handles, its
/// stream and the dispatcher share it; it keeps the device's core.
///
/// Invariants (docs/concurrency/streams.md):
///   B1  The status only grows, and is final once.
///   B2  A stream has at most one buffer with status recording: its current one. Only that one has
///       segments, handlers or a recorder added to it.
///   B3  A final status was written before the timeline says that the buffer's last value was reached,
///       and before any of its completed handlers runs.
///   B4  Once a segment of a buffer has failed, none of its later ones runs.
///
/// Thread safety: the public members from any thread that has a reference. The rest is the stream's,
/// under its mutex.
class BufferState final : public sync::RefCounted {
 public:
  BufferState(sync::Ref<Core> core, StreamState& stream, QueueId queue, std::uint64_t sequence,
              std::uint32_t generation)
      : core_(std::move(core)),
        stream_(stream),
        queue_(queue),
        sequence_(sequence),
        generation_(generation) {}
  ~BufferState() override { segments_.delete_all(); }

  Core& core() const noexcept { return *core_; }
  StreamState& stream() const noexcept { return stream_; }
  QueueId queue() const noexcept { return queue_; }
  std::uint64_t sequence() const noexcept { return sequence_; }
  BufferStatus status() const noexcept {
    // acquire: pairs with the release in set_status: who sees it completed sees what it did.
    return status_.load(std::memory_order_acquire);
  }
  /// The last value of its segments and of those before it. Only once the status is not recording.
  TimelinePoint end() const noexcept { return {queue_, last_value_}; }

  BufferState* next = nullptr;  ///< in the stream's queue of buffers

 private:
  friend class millrace::StreamState;

  void set_status(BufferStatus status) noexcept {
    // release: pairs with the acquire in status.
    status_.store(status, std::memory_order_release);
  }

  const sync::Ref<Core> core_;
  StreamState& stream_;  // in the core's layer, which lives as long as the core
  const QueueId queue_;
  const std::uint64_t sequence_;
  std::uint32_t generation_;  // of the lease that it was begun in
  sync::atomic<BufferStatus> status_{BufferStatus::recording};

  // All that follows is guarded by the stream's mutex, but last_value_ and the jobs once handed over.
  Fifo<Segment> segments_;        // recorded; the stream takes them at commit
  std::uint64_t last_value_ = 0;  // written before the status says that it is not recorded any more
  Status failure_;                // the first of its segments'
  HandlerJob scheduled_, completed_;
  bool recorder_open_ = false;
  bool recorder_dropped_ = false;
  bool has_work_ = false;        // an operation or a handler: dropping it is worth a count
  bool counted_ = false;         // in the stream's count of uncompleted buffers
  bool started_ = false;         // in the stream's count of those that the backend has
  bool scheduled_told_ = false;  // the scheduled handlers were handed over
};

}  // namespace millrace::detail
