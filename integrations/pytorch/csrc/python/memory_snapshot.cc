#include "python/memory_snapshot.h"

#include <c10/core/Stream.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "device/devices.h"
#include "device/streams.h"

namespace py = pybind11;

namespace millrace_torch {
namespace {

const char* state_of(millrace::MemoryState state) {
  switch (state) {
    case millrace::MemoryState::live: return "active_allocated";
    case millrace::MemoryState::pending: return "active_pending_free";
    default: return "inactive";
  }
}

py::dict dict_of(c10::DeviceIndex index, const millrace::MemorySegment& segment) {
  std::size_t allocated = 0, active = 0;
  py::list blocks;
  for (const millrace::MemoryBlock& block : segment.blocks) {
    const bool live = block.state == millrace::MemoryState::live;
    if (live) allocated += block.bytes;
    if (live || block.state == millrace::MemoryState::pending) active += block.bytes;
    py::dict entry;
    entry["address"] = reinterpret_cast<std::uintptr_t>(block.address);
    entry["size"] = block.bytes;
    entry["requested_size"] = block.bytes;
    entry["state"] = state_of(block.state);
    entry["frames"] = py::list();
    blocks.append(entry);
  }
  py::dict result;
  result["device"] = static_cast<int>(index);
  result["address"] = reinterpret_cast<std::uintptr_t>(segment.address);
  result["total_size"] = segment.bytes;
  result["allocated_size"] = allocated;
  result["active_size"] = active;
  result["requested_size"] = allocated;
  result["stream"] = static_cast<std::int64_t>(id_of_runtime_stream(index, segment.stream));
  result["segment_type"] = segment.large ? "large" : "small";
  result["segment_pool_id"] = py::make_tuple(0, 0);
  result["is_expandable"] = true;
  result["frames"] = py::list();
  result["blocks"] = blocks;
  return result;
}

}  // namespace

py::list memory_snapshot(c10::DeviceIndex index) {
  std::vector<millrace::MemorySegment> segments;
  {
    const py::gil_scoped_release free;
    segments = translated([&] { return device_of(index).memory_segments(); });
  }
  py::list result;
  for (const millrace::MemorySegment& segment : segments) result.append(dict_of(index, segment));
  return result;
}

}  // namespace millrace_torch
