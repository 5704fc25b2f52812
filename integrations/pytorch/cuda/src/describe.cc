// What a device's memory is made of, in words.
#include <c10/core/Allocator.h>

#include <map>
#include <string>

#include "allocator.h"
#include "errors.h"
#include "millrace_torch/cuda.h"

namespace millrace_torch {

std::string describe_cuda_memory(int device) {
  using c10::CachingAllocator::format_size;
  DeviceMemory* const memory = CudaAllocator::get().find_memory(static_cast<c10::DeviceIndex>(device));
  if (memory == nullptr) return {};
  const millrace::MemoryStats stats = memory->device().memory();
  std::string text = "cuda:" + std::to_string(device) + ": " + format_size(stats.live) + " in tensors, " +
                     format_size(stats.cached) + " in threads' caches, " + format_size(stats.pending) +
                     " freed and still used by other streams, " + format_size(stats.committed) +
                     " taken of " + format_size(stats.limit) + "\n";
  struct Share {
    std::size_t bytes = 0, live = 0, segments = 0;
  };
  std::map<int, Share> streams;
  for (const millrace::MemorySegment& segment : memory->device().memory_segments()) {
    Share& share = streams[segment.stream];
    share.bytes += segment.bytes;
    ++share.segments;
    for (const millrace::MemoryBlock& block : segment.blocks) {
      if (block.state == millrace::MemoryState::live) share.live += block.bytes;
    }
  }
  for (const auto& [stream, share] : streams) {
    text += "  stream " + std::to_string(stream) + ": " + format_size(share.live) + " in tensors of " +
            format_size(share.bytes) + " in " + std::to_string(share.segments) + " segments\n";
  }
  return text;
}

}  // namespace millrace_torch
