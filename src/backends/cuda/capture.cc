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

}  // namespace

Status Queues::begin_capture(QueueId id) noexcept {
  if (id < 0) {
    return Status(ErrorCode::PoolExhausted,
                  "the device was opened for no captures; raise DeviceOptions::captures",
                  {.call = {}, .device = device_, .stream = -1, .rule = {}});
  }
  if (Status over = verdict(); !over.ok()) return over;
  Queue& queue = at(id);
  try {
    const ContextScope scope(context_);
    CUresult result = scope.result();
    // Nothing is underway, so that nobody else touches the stream.
    if (result == CUDA_SUCCESS) result = queue.stream.open();
    if (result == CUDA_SUCCESS) result = queue.stream.begin_capture();
    return status_of(result, "began to capture a stream", device_, id);
  } catch (const std::bad_alloc&) {  // while the failure was being described
    return failures_.no_memory;
  }
}

Status Queues::end_capture(QueueId id, sync::Ref<DeviceGraph>* graph) noexcept {
  Queue& queue = at(id);
  const ContextScope scope(context_);
  CUgraph captured = nullptr;
  CUresult result = queue.stream.end_capture(&captured);
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
    return Status(
        ErrorCode::InvalidState,
        "the driver made no graph of what was captured, and answered " + describe(result) +
            "; work that the caller put on the stream may have been something that can't be captured",
        {.call = {}, .device = device_, .stream = id, .rule = "capture-invalidated"});
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
  for (const Operation& operation : submission.operations) {
    if (failure.ok()) failure = queue.stream.enqueue(operation);
  }
  return failure;
}

}  // namespace millrace::cuda
