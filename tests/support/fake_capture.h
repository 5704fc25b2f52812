// How the driver that plays a device captures what is put on its streams.
#pragma once

#include <cuda.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

#include "support/fake_machine.h"
#include "support/fake_stream.h"

namespace millrace::test {

/// Spoils captures of others; the answer if there is none.
inline CUresult spoil_captures(CUresult answer) {
  bool any = false;
  for (const auto& stream : machine().streams.all()) {
    const std::shared_ptr<FakeGraph> graph = stream->graph();
    if (!graph || !graph->is_global()) continue;
    graph->spoilt = true;
    any = true;
  }
  return any ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : answer;
}

inline std::uintptr_t keep_graph(std::shared_ptr<FakeGraph> graph) {
  const std::lock_guard lock(machine().mutex);
  const std::uintptr_t handle = machine().next_graph++;
  machine().graphs[handle] = std::move(graph);
  return handle;
}
inline std::shared_ptr<FakeGraph> graph_of(const void* handle) {
  const std::lock_guard lock(machine().mutex);
  return machine().graphs.at(reinterpret_cast<std::uintptr_t>(handle));
}
inline CUresult drop_fake_graph(const void* handle) {
  const std::lock_guard lock(machine().mutex);
  machine().graphs.erase(reinterpret_cast<std::uintptr_t>(handle));
  return CUDA_SUCCESS;
}
/// A capture that spoils itself.
inline CUresult spoil(FakeStream& stream, CUresult answer) {
  stream.graph()->spoilt = true;
  return answer;
}
inline CUresult end_capture(FakeStream& stream, std::shared_ptr<FakeGraph>* graph) {
  const FakeCapture ended = stream.capture();
  if (!ended.graph) return CUDA_ERROR_ILLEGAL_STATE;
  if (!ended.began_here) return spoil(stream, CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
  bool joined = true;
  for (const auto& other : machine().streams.all()) {
    const FakeCapture capture = other->capture();
    if (capture.graph != ended.graph) continue;
    joined = joined && ended.graph->leads_to(capture.after, ended.after);
    other->set_capture({});
  }
  ended.graph->ended = true;
  if (ended.graph->spoilt) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  if (!joined) return CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
  *graph = ended.graph;
  return CUDA_SUCCESS;
}
/// A wait for an event of a capture, or on a stream that is being captured.
inline CUresult wait_captured(FakeStream& stream, const FakeCapture& event) {
  const std::shared_ptr<FakeGraph> graph = stream.graph();
  if (!event.graph) return spoil(stream, CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
  if (event.graph->ended) return CUDA_ERROR_CAPTURED_EVENT;
  if (!graph) {
    stream.set_capture({event.graph, event.after});
    stream.push([] {});  // that it joined is waited for too
  } else if (graph == event.graph) {
    stream.capture_after(event.after);
  } else {
    event.graph->spoilt = true;
    return spoil(stream, CUDA_ERROR_STREAM_CAPTURE_MERGE);
  }
  return CUDA_SUCCESS;
}

}  // namespace millrace::test
