#include "backends/cuda/native_stream.h"

#include <chrono>
#include <cstdint>
#include <cstring>
#include <variant>

#include "backends/cuda/driver.h"
#include "backends/cuda/owner.h"
#include "sync/thread.h"

namespace millrace::cuda {
namespace {

/// The driver takes so much of a copy to the device along with the command.
constexpr std::size_t kTakenAlong = std::size_t{64} << 10;
// How often it is asked whether the owner of a wrapped stream still captures it.
constexpr std::chrono::microseconds kCapturePoll{200};

CUdeviceptr address_of(const void* pointer) noexcept {
  return reinterpret_cast<CUdeviceptr>(pointer);
}

Place place_of_copy(const CopyWork& work, const Memory& memory) noexcept {
  if (work.bytes == 0) return Place::device;
  const Where to = find_owner(work.to, work.bytes, memory), from = find_owner(work.from, work.bytes, memory);
  if (to.owner != Owner::pageable && from.owner != Owner::pageable) return Place::device;
  const bool to_own = to.owner == Owner::device && to.device == memory.peers().own();
  return to_own && from.owner == Owner::pageable && work.bytes <= kTakenAlong ? Place::device : Place::host;
}

bool is_pageable(const FillWork& work, const Memory& memory) noexcept {
  return work.bytes != 0 && find_owner(work.to, work.bytes, memory).owner == Owner::pageable;
}

Status captured_failure(const std::string& device, int number) {
  return Status(
      ErrorCode::InvalidState,
      "the wrapped stream is being captured by its owner (the legacy default stream: a stream that it is "
      "ordered with), so what is put on it would not run; end the capture first",
      {.call = {}, .device = device, .stream = number, .rule = "captured-stream"});
}

}  // namespace

Place place_of(const Operation& operation, const Memory& memory) {
  if (const auto* copy = std::get_if<CopyWork>(&operation.work)) return place_of_copy(*copy, memory);
  if (const auto* fill = std::get_if<FillWork>(&operation.work))
    return is_pageable(*fill, memory) ? Place::host : Place::device;
  return std::holds_alternative<TaskWork>(operation.work) ? Place::host : Place::device;
}

const char* why_not_capturable(const Operation& operation, const Memory& memory) noexcept {
  if (std::holds_alternative<TaskWork>(operation.work))
    return "a graph runs on the device alone, and a host task does not; run it before or after the launch";
  if (std::holds_alternative<GraphWork>(operation.work))
    return "a graph holds no launch of another; launch one after the other";
  // What the driver takes along with a command it would take along once, and not at each launch.
  if (const auto* copy = std::get_if<CopyWork>(&operation.work); copy != nullptr && copy->bytes != 0) {
    for (const void* end : {static_cast<const void*>(copy->to), copy->from}) {
      if (find_owner(end, copy->bytes, memory).owner == Owner::pageable)
        return "the driver does not know the host memory; use memory that is registered, or copy before the "
               "launch";
    }
  }
  if (const auto* fill = std::get_if<FillWork>(&operation.work);
      fill != nullptr && is_pageable(*fill, memory))
    return "the memory is the host's; fill it before or after the launch";
  return nullptr;
}

CUresult NativeStream::open() noexcept {
  if (stream_ != nullptr) return CUDA_SUCCESS;
  int least = 0, greatest = 0;  // the greatest is the lowest number, and both are 0 where there are none
  if (high_priority_) (void)driver().priority_range(&least, &greatest);
  // Not ordered with the legacy default stream: nothing of ours waits for what others put there.
  return driver().stream_create(&stream_, CU_STREAM_NON_BLOCKING, greatest);
}

CUresult NativeStream::begin_capture() noexcept {
  const CUresult result = driver().stream_begin_capture(stream_, CU_STREAM_CAPTURE_MODE_RELAXED);
  capturing_ = began_capture_ = result == CUDA_SUCCESS;
  return result;
}

CUresult NativeStream::join_capture(CUevent event) noexcept {
  const CUresult result = driver().stream_wait_event(stream_, event, 0);
  capturing_ = result == CUDA_SUCCESS;
  return result;
}

CUresult NativeStream::end_capture(CUgraph* graph) noexcept {
  capturing_ = began_capture_ = false;
  return driver().stream_end_capture(stream_, graph);
}

void NativeStream::give_up_capture() noexcept {
  if (CUgraph graph = nullptr; began_capture_ && end_capture(&graph) == CUDA_SUCCESS && graph != nullptr)
    (void)driver().graph_destroy(graph);
}

void NativeStream::close() noexcept {
  if (stream_ != nullptr && !is_wrapped()) (void)driver().stream_destroy(stream_);
  stream_ = nullptr;
  tickets_.give_back();
}

bool NativeStream::is_still_there() const noexcept {
  if (identity_.lasts) return true;  // upholds C15
  // By its number: the handle may be another stream's by now.
  unsigned long long id = 0;
  return driver().stream_id(stream_, &id) == CUDA_SUCCESS && id == identity_.number;
}

bool NativeStream::is_captured_by_owner() const noexcept {
  return is_wrapped() && is_captured(stream_);
}

void NativeStream::wrap(CUstream stream, const StreamIdentity& identity) {
  if (captured_.ok()) captured_ = captured_failure(device_, number_);
  if (destroyed_.ok()) {
    destroyed_ = Status(ErrorCode::InvalidState,
                        "the wrapped stream was destroyed by its owner; end its lease first, which takes "
                        "care of what is on it",
                        {.call = {}, .device = device_, .stream = number_, .rule = "destroyed-stream"});
  }
  stream_ = stream;
  identity_ = identity;
  wrapped_ = true;
}

Status NativeStream::check() const noexcept {
  // The capture first: asking a stream that is being captured for its number spoils that.
  if (!is_wrapped()) return {};
  if (is_captured(stream_)) return captured_;
  return is_still_there() ? Status() : destroyed_;
}

bool is_captured(CUstream stream) noexcept {
  CUstreamCaptureStatus capture = CU_STREAM_CAPTURE_STATUS_NONE;
  const CUresult result = driver().stream_capturing(stream, &capture);
  // The legacy default stream is told so while a stream that it is ordered with is being captured.
  return result == CUDA_ERROR_STREAM_CAPTURE_IMPLICIT || capture != CU_STREAM_CAPTURE_STATUS_NONE;
}

bool says_captured(const Status& failure) noexcept {
  return failure.error().rule() == "captured-stream";
}

Status refuse_captured(CUstream stream, const std::string& device, int number) {
  return is_captured(stream) ? captured_failure(device, number) : Status();
}

Status NativeStream::failed(CUresult result, const Operation& operation) const {
  if (result == CUDA_SUCCESS) return {};  // before any text is made
  return status_of(result, "operation \"" + operation.name + "\" failed", device_, number_);
}

Status NativeStream::enqueue(const Operation& operation) {
  if (const auto* copy_work = std::get_if<CopyWork>(&operation.work)) return copy(operation, *copy_work);
  if (const auto* fill_work = std::get_if<FillWork>(&operation.work)) return fill(operation, *fill_work);
  if (const auto* graph = std::get_if<GraphWork>(&operation.work))
    return failed(driver().graph_launch(static_cast<CUgraphExec>(graph->graph->native()), stream_),
                  operation);
  return reduce(operation, std::get<ReduceWork>(operation.work));
}

Status NativeStream::copy(const Operation& operation, const CopyWork& work) {
  if (work.bytes == 0) return {};
  const CUdevice own = memory_.peers().own();
  const CUdevice to = find_owner(work.to, work.bytes, memory_).device;
  const CUdevice from = find_owner(work.from, work.bytes, memory_).device;
  if (to == own && from == own)
    return failed(driver().copy(address_of(work.to), address_of(work.from), work.bytes, stream_), operation);
  // The ordinary copy is refused where one device may not touch the other's memory; this one finds a way.
  CUcontext to_context = nullptr, from_context = nullptr;
  CUresult result = memory_.peers().context_of(to, &to_context);
  if (result == CUDA_SUCCESS) result = memory_.peers().context_of(from, &from_context);
  if (result == CUDA_SUCCESS)
    result = driver().copy_peer(address_of(work.to), to_context, address_of(work.from), from_context,
                                work.bytes, stream_);
  return failed(result, operation);
}

Status NativeStream::copy_now(const Operation& operation, const CopyWork& work, CUdevice peer) {
  CUcontext context = nullptr;
  CUresult result = memory_.peers().context_of(peer, &context);
  if (result != CUDA_SUCCESS) return failed(result, operation);
  const ContextScope scope(context);
  result = scope.result();
  // A copy without a stream would spoil captures of others.
  CUstream stream = nullptr;
  if (result == CUDA_SUCCESS) result = driver().stream_create(&stream, CU_STREAM_NON_BLOCKING, 0);
  if (result != CUDA_SUCCESS) return failed(result, operation);
  result = driver().copy(address_of(work.to), address_of(work.from), work.bytes, stream);
  const CUresult waited = driver().stream_synchronize(stream);
  (void)driver().stream_destroy(stream);
  return failed(result != CUDA_SUCCESS ? result : waited, operation);
}

Status NativeStream::refuse_unreachable(const Operation& operation, const void* pointer) const {
  const CUdevice owner = find_owner(pointer, 1, memory_).device;
  if (owner == memory_.peers().own()) return {};
  unsigned flags = 0;
  CUpointer_attribute wanted = CU_POINTER_ATTRIBUTE_ACCESS_FLAGS;
  void* answer = &flags;
  const CUresult result = driver().pointer_attributes(1, &wanted, &answer, address_of(pointer));
  if (result != CUDA_SUCCESS || flags != CU_POINTER_ATTRIBUTE_ACCESS_FLAG_NONE) return {};
  return Status(
      ErrorCode::InvalidArgument,
      "operation \"" + operation.name + "\" failed: the memory is cuda:" + std::to_string(owner) +
          "'s, and this device may not touch it; call grant_access on that device, or copy it first",
      {.call = {}, .device = device_, .stream = number_, .rule = {}});
}

Status NativeStream::fill(const Operation& operation, const FillWork& work) {
  if (work.bytes == 0) return {};
  if (Status refused = refuse_unreachable(operation, work.to); !refused.ok()) return refused;
  return failed(driver().fill(address_of(work.to), work.value, work.bytes, stream_), operation);
}

Status NativeStream::run(const Operation& operation) {
  if (const auto* task = std::get_if<TaskWork>(&operation.work)) {
    task->task();
    return {};
  }
  if (const auto* fill_work = std::get_if<FillWork>(&operation.work);
      fill_work != nullptr && is_pageable(*fill_work, memory_)) {
    std::memset(fill_work->to, fill_work->value, fill_work->bytes);
    return {};
  }
  if (const auto* work = std::get_if<CopyWork>(&operation.work); work != nullptr && work->bytes != 0) {
    const Where to = find_owner(work->to, work->bytes, memory_);
    const Where from = find_owner(work->from, work->bytes, memory_);
    const bool to_pageable = to.owner == Owner::pageable, from_pageable = from.owner == Owner::pageable;
    if (to_pageable && from_pageable) {
      std::memmove(work->to, work->from, work->bytes);
      return {};
    }
    // Between a peer and host memory of which the driver does not know: neither kind of copy on the stream
    // does it where this device may not touch the peer's memory.
    const CUdevice own = memory_.peers().own();
    if (from_pageable && to.device != own) return copy_now(operation, *work, to.device);
    if (to_pageable && from.device != own) return copy_now(operation, *work, from.device);
  }
  if (Status status = enqueue(operation); !status.ok()) return status;
  return synchronize();
}

void NativeStream::finish() noexcept {
  if (stream_ == nullptr || capturing_) return;
  // All that waits for a stream, or for the device, spoils its capture; the work before that goes on.
  while (is_captured_by_owner()) sync::sleep_for(kCapturePoll);
  if (check().ok()) {
    (void)driver().stream_synchronize(stream_);
  } else {
    (void)driver().context_synchronize();
  }
}

Status NativeStream::synchronize() {
  const CUresult result = driver().stream_synchronize(stream_);
  if (result == CUDA_SUCCESS) return {};
  return status_of(result, "waited for operations", device_, number_);
}

}  // namespace millrace::cuda
