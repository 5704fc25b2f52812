// How the public handles, which hold ids, find what they stand for.
#pragma once

#include <array>
#include <cstdint>
#include <utility>

#include <millrace/device.h>

#include "device/context.h"
#include "device/core.h"
#include "device/fork.h"
#include "device/graph.h"
#include "device/registry.h"
#include "device/thread_contexts.h"
#include "stream/pool.h"
#include "sync/ref.h"

namespace millrace {
struct GraphMemory;
/// What a graph has of each kind of memory, by MemoryKind.
using GraphMemories = std::array<GraphMemory*, 2>;
}  // namespace millrace

namespace millrace::detail {

/// The only friend of the public handles.
///
/// Thread safety: static functions, from any thread.
struct Access {
  /// The calling thread's context on the device, made if it has none. Throws Closed or ForkedProcess. A
  /// context that was found may be retired: whoever needs the device open enters its gate or holds the
  /// context.
  static Context& context_of(std::uint64_t device, const char* call) {
    if (Context* context = ThreadContexts::find(device)) [[likely]]
      return *context;
    return make_context(device, call);
  }

  /// The device's core, for calls that ask without entering: throws Closed once it has closed.
  static Core& open_core_of(std::uint64_t device, const char* call) {
    const Context& context = context_of(device, call);
    if (context.retired()) [[unlikely]]
      context.core().throw_closed(call);
    return context.core();
  }

  /// For destructors: calls give(Core&, the calling thread's Context or null) unless there is nothing to give
  /// back to any more.
  template <typename Give>
  static void with_core(std::uint64_t device, Give&& give) noexcept {
    if (device == 0 || forked()) return;
    if (Context* context = ThreadContexts::find(device)) {
      give(context->core(), context);  // which keeps the core
    } else if (const sync::Ref<Core> core = Registry::get().find(device)) {
      give(*core, static_cast<Context*>(nullptr));
    }
  }

  static StreamPool& streams_of(std::uint64_t device, const char* call) {
    return StreamPool::of(context_of(device, call).core());
  }

  static Stream make_stream(const Core& core, StreamId id) { return make_stream(core.id(), id); }
  static Stream make_stream(std::uint64_t device, StreamId id) { return {device, id.slot, id.generation}; }
  static StreamLease make_lease(Stream stream) { return StreamLease(stream); }
  static std::uint64_t device_of(const Stream& stream) noexcept { return stream.device_; }
  static StreamId id_of(const Stream& stream) noexcept { return {stream.slot_, stream.generation_}; }

  static Capture make_capture(Stream stream) { return Capture(stream); }
  static Graph make_graph(Core& core, sync::Ref<DeviceGraph> graph, const GraphMemories& memory);

  /// Takes over an allocation of the device.
  static Buffer make_buffer(const Core& core, void* data, std::size_t size) noexcept {
    return {core.id(), data, size};
  }
  static std::uint64_t device_of(const Buffer& buffer) noexcept { return buffer.device_; }

  static Event make_event(const Core& core, std::uint32_t slot, std::uint32_t lease) {
    return {core.id(), slot, lease};
  }
  static std::uint64_t device_of(const Event& event) noexcept { return event.device_; }
  static std::uint32_t slot_of(const Event& event) noexcept { return event.slot_; }

  static CommandBuffer make_command_buffer(sync::Ref<BufferState> state) noexcept {
    return CommandBuffer(state.release());
  }
  static Recorder make_recorder(sync::Ref<BufferState> state) noexcept { return Recorder(state.release()); }
  static NativeRecorder make_native_recorder(sync::Ref<BufferState> state, void* stream) noexcept {
    return {state.release(), stream};
  }

  /// Takes over a handle that the caller has counted (Core::add_handle, Registry::open).
  static Device make_device(Core* core) noexcept { return Device(core); }
  static Core* core_of(const Device& device) noexcept { return device.core_; }

 private:
  static Context& make_context(std::uint64_t device, const char* call) {
    refuse_in_forked_child(call);
    const sync::Ref<Core> core = Registry::get().find(device);
    if (!core) {
      throw Error(
          ErrorCode::Closed,
          device == 0 ? "the handle is empty: take one from a Device" : "the device is closed; open it again",
          {.call = call, .device = {}, .rule = {}});
    }
    return ThreadContexts::create(*core);
  }
};

}  // namespace millrace::detail
