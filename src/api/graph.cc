#include <millrace/graph.h>

#include <new>
#include <utility>

#include "api/access.h"
#include "device/fork.h"
#include "memory/allocator.h"
#include "stream/pool.h"

namespace millrace {

using detail::Access;
using detail::GraphState;

namespace {

constexpr MemoryKind kKinds[] = {MemoryKind::device, MemoryKind::pinned};

template <typename Visit>
void for_each_memory(Core& core, const GraphMemories& memories, Visit&& visit) {
  for (const MemoryKind kind : kKinds)
    visit(Allocator::of(core, kind), *memories[static_cast<std::size_t>(kind)]);
}

/// The memory of a capture that has ended, which is its graph's now. Its slots are free.
GraphMemories end_memory(Core& core, int slot) noexcept {
  StreamPool& streams = StreamPool::of(core);
  GraphMemories memories{};
  for (const MemoryKind kind : kKinds) {
    memories[static_cast<std::size_t>(kind)] =
        &Allocator::of(core, kind).end_capture(slot, streams.branches_of(slot));
  }
  streams.free_capture(slot);
  return memories;
}

void drop_memory(Core& core, const GraphMemories& memories, const sync::Ref<DeviceGraph>& graph) noexcept {
  for_each_memory(core, memories,
                  [&](Allocator& allocator, GraphMemory& memory) { allocator.drop_graph(memory, graph); });
}

}  // namespace

namespace detail {

/// What the copies of a Graph share.
///
/// Thread safety: constant.
class GraphState final : public sync::RefCounted {
 public:
  GraphState(Core& core, sync::Ref<DeviceGraph> graph, const GraphMemories& memory)
      : core_(sync::Ref<Core>::share(&core)), graph_(std::move(graph)), memory_(memory) {}
  ~GraphState() override {
    try {
      const sync::Gate::Pass pass = core_->enter("~Graph");
      drop_memory(*core_, memory_, graph_);
    } catch (const Error&) {
      // Closed: the memory is gone.
    }
  }

  Core& core() const noexcept { return *core_; }
  const sync::Ref<DeviceGraph>& graph() const noexcept { return graph_; }
  const GraphMemories& memory() const noexcept { return memory_; }

 private:
  const sync::Ref<Core> core_;  // what the graph is of
  const sync::Ref<DeviceGraph> graph_;
  const GraphMemories memory_;  // the device's, while that is open
};

}  // namespace detail

namespace {

GraphState* share(GraphState* state) noexcept {
  if (state != nullptr && !forked()) state->add_ref();
  return state;
}

GraphState& state_of(GraphState* state, const char* call) {
  refuse_in_forked_child(call);
  if (state == nullptr) {
    throw Error(ErrorCode::Closed, "the handle is empty: take one from Capture::end",
                {.call = call, .device = {}, .rule = {}});
  }
  return *state;
}

/// begin: makes a slot for captures a stream of one, which gets memory of its own.
template <typename Begin>
Stream begin_captured_stream(Core& core, const char* call, Begin&& begin) {
  StreamPool& streams = StreamPool::of(core);
  const int slot = streams.acquire_capture(call);
  StreamId id;
  try {
    {
      const sync::Gate::Pass pass = core.enter(call);
      for (const MemoryKind kind : kKinds) Allocator::of(core, kind).reserve_capture(slot);
    }
    id = begin(slot);
  } catch (...) {
    streams.free_capture(slot);
    throw;
  }
  const sync::Gate::Pass pass = core.enter(call);
  for (const MemoryKind kind : kKinds) Allocator::of(core, kind).begin_capture(slot);
  return Access::make_stream(core, id);
}

}  // namespace

Graph::Graph(const Graph& other) noexcept : state_(share(other.state_)) {}
Graph::Graph(Graph&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
Graph& Graph::operator=(Graph other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}
Graph::~Graph() {
  if (state_ != nullptr && !forked()) state_->drop_ref();
}

void Graph::launch(Stream stream, SourcePlace place) {
  constexpr const char* kCall = "Graph::launch";
  const GraphState& state = state_of(state_, kCall);
  Core& core = state.core();
  const sync::Gate::Pass pass = core.enter(kCall);
  if (Access::device_of(stream) != core.id()) {
    throw Error(ErrorCode::InvalidArgument, "the stream belongs to another device than the graph, or to none",
                core.error_context(kCall, stream.id()));
  }
  StreamPool& streams = StreamPool::of(core);
  streams.check_handle(Access::id_of(stream), kCall);
  const auto add_launch = [&] {
    for_each_memory(core, state.memory(), [&](Allocator& allocator, GraphMemory& memory) {
      allocator.add_launch(memory, stream.id());
    });
  };
  add_launch();  // so that the second one, which counts, can't fail
  streams.record(Access::id_of(stream), {GraphWork{state.graph()}, "graph", {}, place}, kCall);
  add_launch();
}

void* Graph::native() const {
  constexpr const char* kCall = "Graph::native";
  const GraphState& state = state_of(state_, kCall);
  const sync::Gate::Pass pass = state.core().enter(kCall);
  return state.graph()->native();
}

Capture::Capture(Capture&& other) noexcept : stream_(std::exchange(other.stream_, {})) {}

Capture& Capture::operator=(Capture&& other) noexcept {
  if (this != &other) {
    abort();
    stream_ = std::exchange(other.stream_, {});
  }
  return *this;
}

Capture::~Capture() {
  abort();
}

Stream Capture::branch() {
  constexpr const char* kCall = "Capture::branch";
  Core& core = Access::context_of(Access::device_of(stream_), kCall).core();
  return begin_captured_stream(core, kCall, [&](int slot) {
    return StreamPool::of(core).begin_branch(Access::id_of(stream_), slot, kCall);
  });
}

Graph Capture::end() {
  constexpr const char* kCall = "Capture::end";
  Core& core = Access::context_of(Access::device_of(stream_), kCall).core();
  StreamPool& streams = StreamPool::of(core);
  StreamPool::Captured captured = streams.end_capture(Access::id_of(stream_), kCall);
  const int slot = std::exchange(stream_, {}).id();
  const sync::Gate::Pass pass = core.enter(kCall);
  const GraphMemories memory = end_memory(core, slot);
  if (!captured.failed.ok()) drop_memory(core, memory, {});
  core.throw_if_failed(captured.failed, kCall, slot);
  try {
    return Access::make_graph(core, std::move(captured.graph), memory);
  } catch (const std::bad_alloc&) {
    drop_memory(core, memory, {});
    throw;
  }
}

void Capture::abort() noexcept {
  if (!stream_.valid()) return;
  const Stream stream = std::exchange(stream_, {});
  Access::with_core(Access::device_of(stream), [&](Core& core, Context* /*mine*/) {
    try {
      const sync::Gate::Pass pass = core.enter("Capture::abort");
      StreamPool::of(core).abort_capture(Access::id_of(stream));
      drop_memory(core, end_memory(core, stream.id()), {});
    } catch (const Error&) {
      // Closed: the capture has ended with the device.
    }
  });
}

Capture Device::capture() {
  constexpr const char* kCall = "Device::capture";
  refuse_in_forked_child(kCall);
  if (core_ == nullptr) {
    throw Error(ErrorCode::Closed, "the device handle is empty; get one from Device::open",
                {.call = kCall, .device = {}, .rule = {}});
  }
  return Access::make_capture(begin_captured_stream(
      *core_, kCall, [&](int slot) { return StreamPool::of(*core_).begin_capture(slot, kCall); }));
}

Graph Access::make_graph(Core& core, sync::Ref<DeviceGraph> graph, const GraphMemories& memory) {
  return Graph(new GraphState(core, std::move(graph), memory));
}

}  // namespace millrace
