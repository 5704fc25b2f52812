#include "support/fake_cuda.h"

#include <sys/mman.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "backends/cuda/driver.h"
#include "device/reserved_pages.h"
#include "support/fake_capture.h"
#include "support/fake_kernels.h"
#include "support/fake_machine.h"
#include "support/fake_stream.h"

namespace millrace::test {
namespace {

constexpr std::size_t kUnit = std::size_t{2} << 20;
constexpr std::size_t kAllocationUnit = std::size_t{64} << 10;
constexpr std::size_t kTakenAlong = std::size_t{64} << 10;

/// Counts a call. Work that was asked about after the device has failed is answered with that.
CUresult asked() {
  Machine& all = machine();
  all.calls.fetch_add(1);
  return all.answer.load();
}

thread_local CUstreamCaptureMode capture_mode = CU_STREAM_CAPTURE_MODE_GLOBAL;

/// A call that spoils captures of others, unless the thread has said that it does not mean them.
CUresult asked_unsafely() {
  const CUresult answer = asked();
  return capture_mode == CU_STREAM_CAPTURE_MODE_RELAXED ? answer : spoil_captures(answer);
}

FakeEvent& event_of(CUevent event) {
  return *reinterpret_cast<FakeEvent*>(event);
}
void* pointer(CUdeviceptr address) {
  return reinterpret_cast<void*>(address);
}

// Nothing that is destroyed when a thread ends: the library's hooks run after that.
thread_local CUcontext current_context = nullptr;
thread_local std::array<CUcontext, 8> outer_contexts{};
thread_local std::size_t outer_count = 0;

int attribute(CUdevice_attribute which) {
  {
    const std::lock_guard lock(machine().mutex);
    if (const auto set = machine().attributes.find(which); set != machine().attributes.end())
      return set->second;
  }
  switch (which) {
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: return 4;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: return 9;
    case CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_HOST_REGISTER_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM: return 1;
    default: return 0;
  }
}

CUcontext context_of(CUdevice device) {
  return reinterpret_cast<CUcontext>(static_cast<std::uintptr_t>(device) + 1);
}
CUdevice device_of(CUcontext context) {
  return static_cast<CUdevice>(reinterpret_cast<std::uintptr_t>(context)) - 1;
}

std::shared_ptr<FakeStream> find_stream(CUstream stream) {
  // Where none is current the runtime takes the first device's.
  auto found = machine().streams.find(stream, current_context != nullptr ? device_of(current_context) : 0);
  if (!found) machine().dead_handles.fetch_add(1);
  return found;
}
/// Of one that exists.
FakeStream& stream_of(CUstream stream) {
  return *find_stream(stream);
}

CUresult create_memory(CUmemGenericAllocationHandle* handle, std::size_t bytes, CUdevice device) {
  Machine& all = machine();
  const std::lock_guard lock(all.mutex);
  if (all.used + all.taken + bytes > all.memory_bytes) return CUDA_ERROR_OUT_OF_MEMORY;
  all.used += bytes;
  *handle = all.next_handle++;
  all.physical[*handle] = {bytes, device};
  return CUDA_SUCCESS;
}

CUresult reserve(CUdeviceptr* address, std::size_t bytes) {
  void* const pages = reserve_pages(bytes, kUnit);
  if (pages == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
  *address = reinterpret_cast<CUdeviceptr>(pages);
  Machine& all = machine();
  const std::lock_guard lock(all.mutex);
  all.reservations[*address] = bytes;
  return CUDA_SUCCESS;
}

CUresult allocate(CUdeviceptr* address, std::size_t bytes) {
  Machine& all = machine();
  const std::lock_guard lock(all.mutex);
  if (all.used + all.taken + bytes > all.memory_bytes) return CUDA_ERROR_OUT_OF_MEMORY;
  void* const pages = reserve_pages(bytes, kAllocationUnit);
  if (pages == nullptr || mprotect(pages, bytes, PROT_READ | PROT_WRITE) != 0)
    return CUDA_ERROR_OUT_OF_MEMORY;
  *address = reinterpret_cast<CUdeviceptr>(pages);
  all.used += bytes;
  all.allocations[*address] = {bytes, device_of(current_context)};
  return CUDA_SUCCESS;
}

CUresult copy(CUdeviceptr to, CUdeviceptr from, std::size_t bytes, CUstream stream) {
  using Registered = Machine::Registered;
  const Registered to_registered = machine().registered_part(to, bytes);
  const Registered from_registered = machine().registered_part(from, bytes);
  // Neither from one registration into the next, nor beyond the last.
  if (to_registered == Registered::part || from_registered == Registered::part)
    return CUDA_ERROR_INVALID_VALUE;
  const bool to_host = !machine().is_device(to) && to_registered == Registered::none;
  const bool from_host = !machine().is_device(from) && from_registered == Registered::none;
  if (from_host && bytes <= kTakenAlong) {
    const auto* const first = static_cast<const std::byte*>(pointer(from));
    std::vector<std::byte> taken(first, first + bytes);
    stream_of(stream).push(
        [to, taken = std::move(taken)] { std::memcpy(pointer(to), taken.data(), taken.size()); });
  } else {
    stream_of(stream).push([to, from, bytes] { std::memmove(pointer(to), pointer(from), bytes); });
  }
  // As with memory that was not registered.
  if (to_host || (from_host && bytes > kTakenAlong)) stream_of(stream).synchronize();
  return CUDA_SUCCESS;
}

CUresult ordinary_copy(CUdeviceptr to, CUdeviceptr from, std::size_t bytes, CUstream stream) {
  const CUdevice device = stream_of(stream).device();
  if (!machine().may_touch(device, to) || !machine().may_touch(device, from)) return CUDA_ERROR_INVALID_VALUE;
  return copy(to, from, bytes, stream);
}

cuda::Driver make_driver() {
  cuda::Driver d;
  d.init = [](unsigned) { return asked(); };
  d.driver_version = [](int* version) {
    *version = 13000;
    return CUDA_SUCCESS;
  };
  d.error_name = [](CUresult, const char** name) {
    *name = "CUDA_ERROR_OF_THE_FAKE";
    return CUDA_SUCCESS;
  };
  d.error_string = [](CUresult, const char** text) {
    *text = "the fake device was told to fail";
    return CUDA_SUCCESS;
  };
  d.device_count = [](int* count) {
    *count = machine().devices;
    return CUDA_SUCCESS;
  };
  d.device = [](CUdevice* device, int index) {
    *device = index;
    return CUDA_SUCCESS;
  };
  d.device_name = [](char* name, int size, CUdevice) {
    std::snprintf(name, static_cast<std::size_t>(size), "Fake device");
    return CUDA_SUCCESS;
  };
  d.device_memory = [](std::size_t* bytes, CUdevice) {
    *bytes = machine().memory_bytes;
    return CUDA_SUCCESS;
  };
  d.device_uuid = [](CUuuid* uuid, CUdevice device) {
    std::memset(uuid->bytes, 0x10 + device, sizeof uuid->bytes);
    return CUDA_SUCCESS;
  };
  d.device_attribute = [](int* value, CUdevice_attribute which, CUdevice) {
    *value = attribute(which);
    return CUDA_SUCCESS;
  };
  d.primary_context_retain = [](CUcontext* context, CUdevice device) {
    *context = context_of(device);
    return asked();
  };
  d.context_current = [](CUcontext* context) {
    *context = current_context;
    return CUDA_SUCCESS;
  };
  d.context_push = [](CUcontext context) {
    outer_contexts.at(outer_count++) = std::exchange(current_context, context);
    return CUDA_SUCCESS;
  };
  d.context_pop = [](CUcontext* context) {
    *context = std::exchange(current_context, outer_contexts.at(--outer_count));
    return CUDA_SUCCESS;
  };
  d.stream_create = [](CUstream* stream, unsigned, int priority) {
    if (const CUresult answer = asked_unsafely(); answer != CUDA_SUCCESS) return answer;
    *stream = machine().streams.make(device_of(current_context), priority);
    return CUDA_SUCCESS;
  };
  d.stream_destroy = [](CUstream stream) {
    machine().streams.destroy(stream);
    return CUDA_SUCCESS;
  };
  d.stream_id = [](CUstream stream, unsigned long long* id) {
    const auto found = find_stream(stream);
    if (!found) return CUDA_ERROR_INVALID_HANDLE;
    if (found->graph()) return spoil(*found, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    *id = found->id();
    return CUDA_SUCCESS;
  };
  d.stream_context = [](CUstream stream, CUcontext* context) {
    const auto found = find_stream(stream);
    if (!found) return CUDA_ERROR_INVALID_HANDLE;
    *context = context_of(found->device());
    return CUDA_SUCCESS;
  };
  d.stream_capturing = [](CUstream stream, CUstreamCaptureStatus* status) {
    machine().interrupt(FakeCall::stream_capturing);
    const auto found = find_stream(stream);
    if (!found) return CUDA_ERROR_INVALID_HANDLE;
    *status = found->graph() ? CU_STREAM_CAPTURE_STATUS_ACTIVE : CU_STREAM_CAPTURE_STATUS_NONE;
    return CUDA_SUCCESS;
  };
  d.stream_begin_capture = [](CUstream stream, CUstreamCaptureMode mode) {
    stream_of(stream).set_capture(
        {std::make_shared<FakeGraph>(mode == CU_STREAM_CAPTURE_MODE_GLOBAL), {}, true});
    return asked();
  };
  d.stream_end_capture = [](CUstream stream, CUgraph* graph) {
    machine().interrupt(FakeCall::end_capture);
    std::shared_ptr<FakeGraph> captured;
    *graph = nullptr;
    if (const CUresult answer = end_capture(stream_of(stream), &captured); answer != CUDA_SUCCESS)
      return answer;
    *graph = reinterpret_cast<CUgraph>(keep_graph(std::move(captured)));
    return asked();
  };
  d.capture_mode = [](CUstreamCaptureMode* mode) {
    std::swap(*mode, capture_mode);
    return CUDA_SUCCESS;
  };
  d.graph_instantiate = [](CUgraphExec* executable, CUgraph graph, unsigned long long) {
    *executable = reinterpret_cast<CUgraphExec>(keep_graph(graph_of(graph)));
    return asked();
  };
  d.graph_launch = [](CUgraphExec executable, CUstream stream) {
    stream_of(stream).push([graph = graph_of(executable)] { graph->run(); });
    return asked();
  };
  d.graph_exec_destroy = [](CUgraphExec executable) { return drop_fake_graph(executable); };
  d.graph_destroy = [](CUgraph graph) { return drop_fake_graph(graph); };
  d.priority_range = [](int* least, int* greatest) {
    *least = 0;
    *greatest = -5;
    return CUDA_SUCCESS;
  };
  d.stream_query = [](CUstream stream) {
    machine().interrupt(FakeCall::stream_query);
    if (const CUresult answer = asked_unsafely(); answer != CUDA_SUCCESS) return answer;
    const auto found = find_stream(stream);
    return !found ? CUDA_ERROR_INVALID_HANDLE : found->is_idle() ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
  };
  d.context_synchronize = [] {
    // Whatever the thread has said.
    if (const CUresult answer = spoil_captures(asked()); answer != CUDA_SUCCESS) return answer;
    for (const auto& stream : machine().streams.all()) {
      if (stream->device() == device_of(current_context) && !stream->graph()) stream->synchronize();
    }
    return CUDA_SUCCESS;
  };
  d.stream_synchronize = [](CUstream stream) {
    if (stream_of(stream).graph()) return spoil(stream_of(stream), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    stream_of(stream).synchronize();
    return asked_unsafely();
  };
  d.stream_wait_event = [](CUstream stream, CUevent event, unsigned) {
    const FakeCapture captured = event_of(event).capture();
    if (captured.graph || stream_of(stream).graph()) {
      const CUresult answer = wait_captured(stream_of(stream), captured);
      return answer == CUDA_SUCCESS ? asked() : answer;
    }
    if (auto recording = event_of(event).recording())
      stream_of(stream).push([recording = std::move(recording)] { recording->wait(); });
    return asked();
  };
  d.event_create = [](CUevent* event, unsigned) {
    if (const CUresult answer = asked_unsafely(); answer != CUDA_SUCCESS) return answer;
    *event = reinterpret_cast<CUevent>(new FakeEvent);
    machine().events.fetch_add(1);
    return CUDA_SUCCESS;
  };
  d.event_destroy = [](CUevent event) {
    delete &event_of(event);
    machine().events.fetch_sub(1);
    return CUDA_SUCCESS;
  };
  d.event_record = [](CUevent event, CUstream stream) {
    machine().interrupt(FakeCall::event_record);
    FakeCapture captured = stream_of(stream).capture();
    if (captured.graph && captured.graph->spoilt) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    const bool runs = !captured.graph;
    const auto recording = std::make_shared<Recording>();
    {
      const std::lock_guard lock(event_of(event).mutex);
      event_of(event).last = recording;
      event_of(event).captured = std::move(captured);
    }
    if (!runs) return asked();
    stream_of(stream).push([recording] { recording->finish(); });
    return asked();
  };
  d.event_query = [](CUevent event) {
    if (const CUresult answer = asked_unsafely(); answer != CUDA_SUCCESS) return answer;
    if (event_of(event).capture().graph) return CUDA_ERROR_CAPTURED_EVENT;
    const auto recording = event_of(event).recording();
    return recording == nullptr || recording->is_done() ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
  };
  d.event_elapsed = [](float* milliseconds, CUevent start, CUevent end) {
    const auto first = event_of(start).recording();
    const auto last = event_of(end).recording();
    if (first == nullptr || last == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (!first->is_done() || !last->is_done()) return CUDA_ERROR_NOT_READY;
    *milliseconds = std::chrono::duration<float, std::milli>(last->at() - first->at()).count();
    return CUDA_SUCCESS;
  };
  d.can_access_peer = [](int* can, CUdevice, CUdevice) {
    *can = 1;
    return CUDA_SUCCESS;
  };
  d.copy_peer = [](CUdeviceptr to, CUcontext, CUdeviceptr from, CUcontext, std::size_t bytes,
                   CUstream stream) {
    if (const CUresult answer = asked(); answer != CUDA_SUCCESS) return answer;
    // As with host memory that was not registered.
    if (!machine().is_device(to) || !machine().is_device(from)) return CUDA_ERROR_INVALID_VALUE;
    return copy(to, from, bytes, stream);
  };
  d.copy = [](CUdeviceptr to, CUdeviceptr from, std::size_t bytes, CUstream stream) {
    if (const CUresult answer = asked(); answer != CUDA_SUCCESS) return answer;
    return ordinary_copy(to, from, bytes, stream);
  };
  d.fill = [](CUdeviceptr to, unsigned char value, std::size_t bytes, CUstream stream) {
    stream_of(stream).push([=] { std::memset(pointer(to), value, bytes); });
    return asked();
  };
  d.pointer_attributes = [](unsigned count, CUpointer_attribute* wanted, void** answers,
                            CUdeviceptr address) {
    machine().questions.fetch_add(1);
    const bool is_device = machine().is_device(address);
    const bool is_registered = machine().registered_part(address, 1) == Machine::Registered::whole;
    const unsigned type = is_device       ? unsigned{CU_MEMORYTYPE_DEVICE}
                          : is_registered ? unsigned{CU_MEMORYTYPE_HOST}
                                          : 0U;
    const std::lock_guard lock(machine().mutex);
    for (unsigned i = 0; i < count; ++i) {
      if (wanted[i] == CU_POINTER_ATTRIBUTE_ACCESS_FLAGS) {
        const bool may = machine().may_touch_locked(device_of(current_context), address);
        *static_cast<unsigned*>(answers[i]) = may ? unsigned{CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READWRITE} : 0U;
      } else if (wanted[i] == CU_POINTER_ATTRIBUTE_MEMORY_TYPE) {
        *static_cast<unsigned*>(answers[i]) = type;
      } else {
        *static_cast<int*>(answers[i]) = machine().owner_of(address);
      }
    }
    return CUDA_SUCCESS;
  };
  d.allocation_granularity = [](std::size_t* unit, const CUmemAllocationProp*,
                                CUmemAllocationGranularity_flags) {
    *unit = kUnit;
    return asked();
  };
  d.address_reserve = [](CUdeviceptr* address, std::size_t bytes, std::size_t, CUdeviceptr,
                         unsigned long long) {
    machine().calls.fetch_add(1);
    return reserve(address, bytes);
  };
  d.address_free = [](CUdeviceptr address, std::size_t bytes) {
    machine().calls.fetch_add(1);
    {
      const std::lock_guard lock(machine().mutex);
      machine().reservations.erase(address);
    }
    munmap(pointer(address), bytes);
    return CUDA_SUCCESS;
  };
  d.memory_create = [](CUmemGenericAllocationHandle* handle, std::size_t bytes,
                       const CUmemAllocationProp* wanted, unsigned long long) {
    if (const CUresult answer = asked_unsafely(); answer != CUDA_SUCCESS) return answer;
    return create_memory(handle, bytes, wanted->location.id);
  };
  d.memory_release = [](CUmemGenericAllocationHandle handle) {
    machine().calls.fetch_add(1);
    const std::lock_guard lock(machine().mutex);
    machine().used -= machine().physical[handle].bytes;
    machine().physical.erase(handle);
    return CUDA_SUCCESS;
  };
  d.memory_map = [](CUdeviceptr address, std::size_t, std::size_t, CUmemGenericAllocationHandle handle,
                    unsigned long long) {
    {
      const std::lock_guard lock(machine().mutex);
      machine().mappings[address] = {machine().physical[handle], {}};
    }
    return asked_unsafely();
  };
  d.memory_unmap = [](CUdeviceptr address, std::size_t bytes) {
    machine().calls.fetch_add(1);
    {
      const std::lock_guard lock(machine().mutex);
      machine().mappings.erase(address);
    }
    // The same addresses without memory; what was in it is gone.
    void* const map = mmap(pointer(address), bytes, PROT_NONE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    return map == MAP_FAILED ? CUDA_ERROR_UNKNOWN : CUDA_SUCCESS;
  };
  d.memory_set_access = [](CUdeviceptr address, std::size_t bytes, const CUmemAccessDesc* accesses,
                           std::size_t count) {
    {
      const std::lock_guard lock(machine().mutex);
      auto mapping = machine().mappings.lower_bound(address);
      for (; mapping != machine().mappings.end() && mapping->first < address + bytes; ++mapping) {
        for (std::size_t i = 0; i < count; ++i) mapping->second.accessible.insert(accesses[i].location.id);
      }
    }
    if (mprotect(pointer(address), bytes, PROT_READ | PROT_WRITE) != 0) return CUDA_ERROR_OUT_OF_MEMORY;
    return asked_unsafely();
  };
  d.memory_info = [](std::size_t* free, std::size_t* total) {
    const std::lock_guard lock(machine().mutex);
    *total = machine().memory_bytes;
    *free = *total - machine().used - machine().taken;
    return CUDA_SUCCESS;
  };
  d.memory_allocate = [](CUdeviceptr* address, std::size_t bytes) {
    if (const CUresult answer = asked_unsafely(); answer != CUDA_SUCCESS) return answer;
    return allocate(address, bytes);
  };
  d.memory_free = [](CUdeviceptr address) {
    machine().calls.fetch_add(1);
    std::size_t bytes = 0;
    {
      const std::lock_guard lock(machine().mutex);
      const auto found = machine().allocations.find(address);
      if (found == machine().allocations.end()) return CUDA_ERROR_INVALID_VALUE;
      bytes = found->second.bytes;
      machine().used -= bytes;
      machine().allocations.erase(found);
    }
    munmap(pointer(address), bytes);
    return CUDA_SUCCESS;
  };
  d.peer_access = [](CUcontext owner, unsigned) {
    if (const CUresult answer = asked(); answer != CUDA_SUCCESS) return answer;
    const std::lock_guard lock(machine().mutex);
    const bool added = machine().peers.insert({device_of(owner), device_of(current_context)}).second;
    return added ? CUDA_SUCCESS : CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED;
  };
  d.host_register = [](void* address, std::size_t bytes, unsigned) {
    if (const CUresult answer = asked(); answer != CUDA_SUCCESS) return answer;
    const auto start = reinterpret_cast<CUdeviceptr>(address);
    if (machine().registered_part(start, bytes) != Machine::Registered::none)
      return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
    const std::lock_guard lock(machine().mutex);
    machine().registered[start] = bytes;
    return CUDA_SUCCESS;
  };
  d.host_unregister = [](void* address) {
    machine().calls.fetch_add(1);
    const std::lock_guard lock(machine().mutex);
    return machine().registered.erase(reinterpret_cast<CUdeviceptr>(address)) == 1
               ? CUDA_SUCCESS
               : CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
  };
  return d;
}

bool installed = false;

}  // namespace

bool fake_cuda_installed() {
  return installed;
}

void install_fake_cuda(int devices, std::size_t memory_bytes) {
  machine().devices = devices;
  machine().memory_bytes = memory_bytes;
  {
    const std::lock_guard lock(machine().mutex);
    machine().attributes.clear();
    machine().taken = 0;
  }
  static const cuda::Driver* const driver = new cuda::Driver(make_driver());
  cuda::replace_driver(*driver);
  play_fake_launches();
  installed = true;
}

void fail_fake_cuda(CUresult answer) {
  machine().answer.store(answer);
}

CUstream make_fake_stream(int device) {
  return machine().streams.make(device);
}

void destroy_fake_stream(CUstream stream) {
  machine().streams.destroy(stream);
}

void begin_fake_capture(CUstream stream) {
  stream_of(stream).set_capture({std::make_shared<FakeGraph>(true), {}, true});
}

bool end_fake_capture(CUstream stream) {
  return !stream_of(stream).set_capture({}).graph->spoilt;
}

void spoil_fake_capture(CUstream stream) {
  stream_of(stream).graph()->spoilt = true;
}

void join_fake_capture(CUstream captured, CUstream other) {
  static_cast<void>(wait_captured(stream_of(other), stream_of(captured).capture()));
}

int fake_stream_priority(CUstream stream) {
  return stream_of(stream).priority();
}

std::size_t fake_cuda_graphs() {
  const std::lock_guard lock(machine().mutex);
  return machine().graphs.size();
}

void run_on_fake_stream(CUstream stream, std::function<void()> work) {
  stream_of(stream).push(std::move(work));
}

CUresult fake_ordinary_copy(CUstream stream, void* to, const void* from, std::size_t bytes) {
  return ordinary_copy(reinterpret_cast<CUdeviceptr>(to), reinterpret_cast<CUdeviceptr>(from), bytes, stream);
}

}  // namespace millrace::test
