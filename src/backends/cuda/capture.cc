// Work that is made part of a graph instead of running.
#include <new>
#include <string>
#include <utility>

#include "backends/cuda/driver.h"
#include "backends/cuda/queue.h"
#include "device/fork.h"
#include "device/graph.h"

namespace millrace::cuda {
namespace {

class CudaGraph final : public DeviceGraph {
 public:
  /// Takes all of it over.
  CudaGraph(CUcontext context, CUgraph graph, CUgraphExec executable)
      : context_(context), graph_(graph), executable_(executable) {}
  ~CudaGraph() override {
    if (forked()) return;
    const ContextScope scope(context_);
    (void)driver().graph_exec_destroy(executable_);
    (void)driver().graph_destroy(graph_);
  }

  void* native() const noexcept override { return executable_; }

 private:
  const CUcontext context_;
  const CUgraph graph_;
  const CUgraphExec executable_;
};

/// Why there is no graph.
Status not_captured(CUresult result, const std::string& device, int stream) {
  if (result == CUDA_ERROR_STREAM_CAPTURE_UNJOINED) {
    return Status(
        ErrorCode::InvalidState,
        "work of another stream is part of the capture, and the capture's own stream did not wait for "
        "it; record an event at the end of each branch, and let Capture::stream wait for it before "
        "the capture ends",
        {.call = {}, .device = device, .stream = stream, .rule = "unjoined-branch"});
  }
  return Status(ErrorCode::InvalidState,
                "the driver made no graph of what was captured, and answered " + describe(result) +
                    "; work that the caller put on the stream may have been something that can't be captured",
                {.call = {}, .device = device, .stream = stream, .rule = "capture-invalidated"});
}

}  // namespace

Status Queues::begin_capture(QueueId id) noexcept try {
  if (id < 0) {
    return Status(ErrorCode::PoolExhausted,
                  "the device was opened for no captures; raise DeviceOptions::captures",
                  {.call = {}, .device = device_, .stream = -1, .rule = {}});
  }
  if (Status over = verdict(); !over.ok()) return over;
  Queue& queue = at(id);
  const ContextScope scope(context_);
  CUresult result = scope.result();
  // Nothing is underway, so that nobody else touches the stream.
  if (result == CUDA_SUCCESS) result = queue.stream.open();
  if (result == CUDA_SUCCESS) result = queue.stream.begin_capture();
  return status_of(result, "began to capture a stream", device_, id);
} catch (const std::bad_alloc&) {  // while the failure was being described
  return failures_.no_memory;
}

Status Queues::begin_branch(QueueId id, QueueId origin) noexcept {
  if (Status over = verdict(); !over.ok()) return over;
  Queue& queue = at(id);
  try {
    const ContextScope scope(context_);
    CUresult result = scope.result();
    if (result == CUDA_SUCCESS) result = queue.stream.open();
    CUevent event = nullptr;
    if (result == CUDA_SUCCESS) result = take_event(queue, false, &event);
    if (result == CUDA_SUCCESS) {
      result = driver().event_record(event, at(origin).stream.get());
      if (result == CUDA_SUCCESS) result = queue.stream.join_capture(event);
      sync::LockGuard lock(queue.mutex);
      put_event(queue, event, false);  // who waits for it does so by now
    }
    return status_of(result, "began a branch of a capture", device_, id);
  } catch (const std::bad_alloc&) {  // while the failure was being described
    return failures_.no_memory;
  }
}

Status Queues::end_capture(QueueId id, std::span<const QueueId> branches,
                           sync::Ref<DeviceGraph>* graph) noexcept {
  Queue& queue = at(id);
  const ContextScope scope(context_);
  CUgraph captured = nullptr;
  CUresult result = CUDA_SUCCESS;
  for (const QueueId branch : branches) {
    if (result == CUDA_SUCCESS) result = join_if_empty(queue, at(branch));
  }
  const CUresult ended = queue.stream.end_capture(&captured);
  if (result == CUDA_SUCCESS) result = ended;
  drop_captured_events(queue);
  for (const QueueId branch : branches) {
    at(branch).stream.leave_capture();
    drop_captured_events(at(branch));
  }
  CUgraphExec executable = nullptr;
  if (result == CUDA_SUCCESS && graph != nullptr)
    result = driver().graph_instantiate(&executable, captured, 0);
  try {
    if (result == CUDA_SUCCESS && graph != nullptr) {
      *graph = sync::Ref<DeviceGraph>::adopt(new CudaGraph(context_, captured, executable));
      return {};
    }
    if (captured != nullptr) (void)driver().graph_destroy(captured);
    if (result == CUDA_SUCCESS || graph == nullptr) return {};
    if (Status over = verdict(); !over.ok()) return over;
    return not_captured(result, device_, id);
  } catch (const std::bad_alloc&) {
    if (executable != nullptr) (void)driver().graph_exec_destroy(executable);
    if (captured != nullptr) (void)driver().graph_destroy(captured);
    return failures_.no_memory;
  }
}

Status Queues::check_capturable(const Operation& operation) const noexcept {
  const ContextScope scope(context_);
  const char* const why = why_not_capturable(operation, memory_);
  if (why == nullptr) return {};
  try {
    return Status(ErrorCode::InvalidState, "operation \"" + operation.name + "\" can't be captured: " + why,
                  {.call = {}, .device = device_, .stream = -1, .rule = "not-capturable"});
  } catch (const std::bad_alloc&) {
    return failures_.no_memory;
  }
}

Status Queues::capture(Queue& queue, const Submission& submission) {
  Status failure;
  for (const TimelinePoint& wait : submission.waits) {
    if (failure.ok())
      failure = status_of(wait_for_captured(queue, wait), "waited for captured work", device_, queue.id);
  }
  for (const Operation& operation : submission.operations) {
    if (failure.ok()) failure = queue.stream.enqueue(operation);
  }
  const CUresult marked = mark_captured(queue, submission.value);
  return failure.ok() ? status_of(marked, "recorded an event in a capture", device_, queue.id) : failure;
}

CUresult Queues::mark_captured(Queue& queue, std::uint64_t value) noexcept {
  CUevent event = nullptr;
  CUresult result = take_event(queue, false, &event);
  if (result != CUDA_SUCCESS) return result;
  result = driver().event_record(event, queue.stream.get());
  sync::LockGuard lock(queue.mutex);
  try {
    if (result == CUDA_SUCCESS) {
      queue.captured_events.push_back({value, event});
      return result;
    }
    // By what the caller put there: the end of the capture tells of that by its name.
    if (result == CUDA_ERROR_STREAM_CAPTURE_INVALIDATED) result = CUDA_SUCCESS;
  } catch (const std::bad_alloc&) {
    result = CUDA_ERROR_OUT_OF_MEMORY;
  }
  put_event(queue, event, false);
  return result;
}

CUresult Queues::wait_for_captured(Queue& queue, TimelinePoint point) noexcept {
  Queue& other = at(point.queue);
  // Under its mutex, as in wait_on_device.
  sync::LockGuard lock(other.mutex);
  for (const CapturedEvent& captured : other.captured_events) {
    if (captured.value >= point.value)
      return driver().stream_wait_event(queue.stream.get(), captured.event, 0);
  }
  return CUDA_SUCCESS;
}

CUresult Queues::join_if_empty(Queue& origin, Queue& branch) noexcept {
  {
    sync::LockGuard lock(branch.mutex);
    if (!branch.captured_events.empty()) return CUDA_SUCCESS;
  }
  CUevent event = nullptr;
  CUresult result = take_event(branch, false, &event);
  if (result != CUDA_SUCCESS) return result;
  result = driver().event_record(event, branch.stream.get());
  if (result == CUDA_SUCCESS) result = driver().stream_wait_event(origin.stream.get(), event, 0);
  sync::LockGuard lock(branch.mutex);
  put_event(branch, event, false);
  return result;
}

void Queues::drop_captured_events(Queue& queue) noexcept {
  sync::LockGuard lock(queue.mutex);
  for (const CapturedEvent& captured : queue.captured_events) put_event(queue, captured.event, false);
  queue.captured_events.clear();
}

}  // namespace millrace::cuda
