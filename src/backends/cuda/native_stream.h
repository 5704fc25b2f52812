// A stream of the driver's, and putting operations on it.
#pragma once

#include <cuda.h>

#include <cstdint>
#include <memory>
#include <string>

#include "backends/cuda/memory.h"
#include "backends/cuda/owner.h"
#include "backends/cuda/reduce/packs.h"
#include "backends/cuda/reduce/tickets.h"
#include "device/backend.h"
#include "device/operation.h"
#include "device/status.h"

namespace millrace::cuda {

/// Who can run an operation. Copies that touch host memory which was not registered are the host's, since the
/// driver would make the caller wait for all that the stream does before; small ones to the device are not,
/// because the driver takes them along.
enum class Place : std::uint8_t { device, host };

Place place_of(const Operation& operation, const Memory& memory);

/// Null, if a graph can do it.
const char* why_not_capturable(const Operation& operation, const Memory& memory) noexcept;

/// Made when it is first needed: a stream costs 17 us, and most of a pool is never used.
///
/// Thread safety: one thread at a time, with the device's context current.
class NativeStream {
 public:
  NativeStream(int number, const Memory& memory, std::string device)
      : number_(number), memory_(memory), device_(std::move(device)) {}
  NativeStream(const NativeStream&) = delete;
  NativeStream& operator=(const NativeStream&) = delete;

  /// Before all else.
  CUresult open() noexcept;
  /// Nothing runs on it any more, and each capture was ended or given up.
  void close() noexcept;

  CUstream get() const noexcept { return stream_; }

  /// From here on it is one that somebody else made, owns and puts work on. Throws std::bad_alloc before
  /// anything has changed.
  void wrap(CUstream stream, const StreamIdentity& identity);
  bool is_wrapped() const noexcept { return wrapped_; }

  /// Before open: with the highest priority that the device knows.
  void raise_priority() noexcept { high_priority_ = true; }

  /// What is put on it becomes part of a graph, until end_capture.
  CUresult begin_capture() noexcept;
  CUresult end_capture(CUgraph* graph) noexcept;
  /// What is put on it becomes part of the graph of the stream on which the event was captured, until
  /// leave_capture, which follows the end of that one's.
  CUresult join_capture(CUevent event) noexcept;
  void leave_capture() noexcept { capturing_ = false; }
  /// Ends the capture that began on it, if there is one, without a graph.
  void give_up_capture() noexcept;
  bool is_capturing() const noexcept { return capturing_; }

  /// Can work be put on it? Of a wrapped one: is it still there, and not being captured? Any thread.
  Status check() const noexcept;
  /// What check says of a wrapped one that is being captured.
  const Status& captured() const noexcept { return captured_; }
  /// Is it a wrapped one that is being captured now? Any thread.
  bool is_captured_by_owner() const noexcept;

  /// Puts an operation of place device behind what is there already.
  Status enqueue(const Operation& operation);
  /// The same as the next of several, the last of which launch_gathered follows, whatever has failed:
  /// reductions may stay with us until then, so that they share launches, in an order that makes no
  /// difference.
  Status gather(const Operation& operation);
  Status launch_gathered();
  /// Runs any operation to its end. Throws what a task throws.
  Status run(const Operation& operation);
  /// Returns when all that was put on it is done.
  Status synchronize();
  /// The same where a failure tells nobody anything; any thread. Of a wrapped one that is being captured the
  /// capture's end is waited for first, and for one that is gone all of the device.
  void finish() noexcept;

 private:
  bool is_still_there() const noexcept;
  Status failed(CUresult result, const Operation& operation) const;
  Status copy(const Operation& operation, const CopyWork& work);
  /// With nothing on the stream any more.
  Status copy_now(const Operation& operation, const CopyWork& work, CUdevice peer);
  /// Another device's memory that this one was not granted.
  Status refuse_unreachable(const Operation& operation, const void* pointer) const;
  Status fill(const Operation& operation, const FillWork& work);
  Status reduce(const Operation& operation, const ReduceWork& work);
  /// Tensors that the device can't reach.
  Status refuse_tensors(const Operation& operation, const ReduceWork& work) const;

  const int number_;
  const Memory& memory_;
  const std::string device_;
  CUstream stream_ = nullptr;
  Tickets tickets_;
  std::unique_ptr<Packs> packs_;  // from when something is gathered
  KnownPages known_;              // of what is gathered
  StreamIdentity identity_;       // of a wrapped one
  bool wrapped_ = false;
  Status captured_, destroyed_;  // of a wrapped one: made before, since they are said to whoever asks
  bool high_priority_ = false;
  bool capturing_ = false;
  bool began_capture_ = false;
};

/// Anybody's stream; the legacy default stream is that of the context that is current.
bool is_captured(CUstream stream) noexcept;
/// Rule "captured-stream", if it is being captured.
Status refuse_captured(CUstream stream, const std::string& device, int number);
/// Is it that failure?
bool says_captured(const Status& failure) noexcept;

}  // namespace millrace::cuda
