#include "backends/cuda/memory.h"

#include <string>
#include <utility>

#include "backends/cuda/driver.h"
#include "backends/cuda/mapped_memory.h"
#include "backends/cuda/segment_memory.h"
#include "device/memory_range.h"

namespace millrace::cuda {

Memory::Memory(const Properties& properties, std::string device)
    : device_(std::move(device)),
      no_memory_(ErrorCode::OutOfMemory, "no host memory for the bookkeeping of the device's",
                 {.call = {}, .device = device_, .stream = -1, .rule = {}}),
      peers_(properties.device, device_),
      pinned_(properties, device_) {}

Status Memory::open(CUcontext context) {
  context_ = context;
  pinned_.open(context);
  return {};
}

void Memory::leak() noexcept {
  pinned_.leak();
}

std::optional<MemoryRoom> Memory::room() const noexcept {
  const ContextScope scope(context_);
  MemoryRoom room;
  if (scope.result() != CUDA_SUCCESS || driver().memory_info(&room.free, &room.total) != CUDA_SUCCESS)
    return std::nullopt;
  return room;
}

Status Memory::refuse(ErrorCode code, const char* call, const void* address, std::size_t bytes,
                      const std::string& why) const {
  return Status(code, std::string("asked to ") + call + " " + range_text(address, bytes) + ": " + why,
                {.call = {}, .device = device_, .stream = -1, .rule = {}});
}

Status Memory::failed(CUresult result, const std::string& call, const void* address,
                      std::size_t bytes) const {
  return status_of(result, "asked to " + call + " " + range_text(address, bytes), device_);
}

std::unique_ptr<Memory> make_memory(const Properties& properties, std::size_t limit,
                                    const std::string& device) {
  if (properties.virtual_memory) return std::make_unique<MappedMemory>(properties, limit, device);
  return std::make_unique<SegmentMemory>(properties, device);
}

}  // namespace millrace::cuda
