#include "replay/device_allocator.h"

#include <algorithm>

#include "open_device.h"

namespace millrace::tool {
namespace {

constexpr std::size_t kMostStreams = 1024;  // of a device, the default stream among them

DeviceOptions options_for(std::size_t streams, std::size_t memory_limit) {
  DeviceOptions options;
  options.memory_limit = memory_limit;
  options.streams = std::max(options.streams, static_cast<int>(std::min(streams + 1, kMostStreams)));
  return options;
}

}  // namespace

DeviceAllocator::DeviceAllocator(const std::string& device, std::size_t streams, std::size_t memory_limit)
    : device_(create_device(device, options_for(streams, memory_limit))) {
  leases_.reserve(streams);
  streams_.reserve(streams);
  for (std::size_t i = 0; i < streams; ++i) {
    leases_.push_back(device_.lease());
    streams_.push_back(leases_.back().stream());
  }
}

void* DeviceAllocator::allocate(std::size_t stream, std::size_t bytes) {
  return device_.allocate(streams_[stream], bytes);
}

void DeviceAllocator::release(std::size_t, void* address, std::size_t) {
  // Nothing is recorded on any stream, so there is no use for the free to wait for.
  device_.deallocate(address);
}

}  // namespace millrace::tool
