// torch's streams and ours.
#pragma once

#include <c10/core/Stream.h>
#include <millrace/millrace.h>

#include <atomic>
#include <cstdint>
#include <memory>

#include "device/devices.h"

namespace millrace_torch {

/// A call that has run.
struct EndedCall {
  EndedCall() = default;
  EndedCall(const EndedCall&) = delete;
  EndedCall& operator=(const EndedCall&) = delete;
  virtual ~EndedCall() = default;

  EndedCall* next = nullptr;
  std::shared_ptr<EndedCall> self;  // while it is listed
};

/// A stream as operators use it. It is kept by what has it as its current one and by what is on it, also when
/// it has been given back.
///
/// Thread safety: any thread.
class OperatorStream : public std::enable_shared_from_this<OperatorStream> {
 public:
  OperatorStream(c10::DeviceIndex device, c10::StreamId id, millrace::Stream stream)
      : device_(device), id_(id), stream_(stream) {}
  ~OperatorStream() { destroy_ended(); }
  OperatorStream(const OperatorStream&) = delete;
  OperatorStream& operator=(const OperatorStream&) = delete;

  c10::DeviceIndex device() const noexcept { return device_; }
  c10::StreamId id() const noexcept { return id_; }
  c10::Stream for_torch() const {
    return c10::Stream(c10::Stream::UNSAFE, c10::Device(kMillrace, device_), id_);
  }
  const millrace::Stream& get() const noexcept { return stream_; }

  // Work is recorded, and committed by whoever sees that nothing else will: the first to record where nothing
  // is unfinished, and whatever ends while more is. So operators that arrive while others run go together,
  // and none waits for a call that may never come.
  /// After something was recorded.
  void recorded();
  /// As soon as that has run, or will not. On a thread of the device.
  void ended() noexcept;

  // A call is made of many small allocations of its caller's. Were they freed by the worker, the caller's malloc
  // would always have to ask for more and the worker's to give back, both under one lock: 3 us a call and side. So
  // the caller destroys what has run, when it comes again.
  /// On a thread of the device.
  void keep_ended(std::shared_ptr<EndedCall> call) noexcept;
  void destroy_ended() noexcept;

  /// Hands over what is recorded, at once.
  void commit();
  /// Nothing recorded or running?
  bool is_done() const;
  /// Commits and waits. Throws the first failure since the last wait, as torch knows it.
  void wait();

 private:
  const c10::DeviceIndex device_;
  const c10::StreamId id_;
  const millrace::Stream stream_;
  // Operations recorded that have not ended; below zero for a moment where one ends before it is counted.
  std::atomic<std::int64_t> unfinished_{0};
  std::atomic<EndedCall*> ended_calls_{nullptr};
};

/// The calling thread's current stream of the device (-1: its current one); there until the thread has
/// another.
OperatorStream& current_stream(c10::DeviceIndex device);
/// Throws c10::Error for one that has been given back.
std::shared_ptr<OperatorStream> stream_of(const c10::Stream& stream);
std::shared_ptr<OperatorStream> default_stream(c10::DeviceIndex device);
/// torch's number of the runtime's stream of that one; -1 if no stream of torch's is it now.
c10::StreamId id_of_runtime_stream(c10::DeviceIndex device, int number);
/// Makes it the calling thread's; returns the one before of that device.
c10::Stream exchange_stream(std::shared_ptr<OperatorStream> stream);

/// From the pool, in turn: torch's streams have no end. priority < 0: of high priority.
std::shared_ptr<OperatorStream> pooled_stream(c10::DeviceIndex device, int priority = 0);
/// The caller's alone until it is given back, where the device has one to spare.
std::shared_ptr<OperatorStream> lease_stream(c10::DeviceIndex device);
void give_back_stream(OperatorStream& stream) noexcept;

/// The memory is used by what is recorded on each stream of the device.
void record_use_on_all(c10::DeviceIndex device, const void* address);
/// Hands over what is recorded on all streams of the device.
void commit_all(c10::DeviceIndex device);
/// The device is closed: its streams are gone.
void forget_streams(c10::DeviceIndex device);

}  // namespace millrace_torch
