// How much memory torch may take, and giving it back.
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/util/Exception.h>

#include <algorithm>

#include "allocator.h"
#include "errors.h"

namespace millrace_torch {
namespace {

/// Below what is live a limit can't be: then it is that, and nothing more is to be had, as torch has it.
void set_limit(millrace::Device& device, std::size_t bytes) {
  for (;;) {
    try {
      return device.set_memory_limit(bytes);
    } catch (const millrace::OutOfMemoryError& error) {
      bytes = std::max(bytes + 1, error.report().committed);
    }
  }
}

std::size_t device_total(c10::DeviceIndex index) {
  const c10::cuda::CUDAGuard guard(index);
  std::size_t free = 0, total = 0;
  C10_CUDA_CHECK(cudaMemGetInfo(&free, &total));
  return total;
}

}  // namespace

double CudaAllocator::getMemoryFraction(c10::DeviceIndex index) {
  DeviceMemory& memory = memory_of(index);
  return memory.fraction();
}

void CudaAllocator::setMemoryFraction(double fraction, c10::DeviceIndex index) {
  TORCH_CHECK_VALUE(fraction >= 0 && fraction <= 1, "invalid fraction: ", fraction,
                    ". Please set within [0, 1].");
  DeviceMemory& memory = memory_of(index);
  auto bytes = static_cast<std::size_t>(fraction * static_cast<double>(device_total(index)));
  if (options_.memory_limit != 0) bytes = std::min(bytes, options_.memory_limit);
  translated([&] { set_limit(memory.device(), bytes); });
  memory.set_fraction(fraction);
}

void CudaAllocator::emptyCache(MempoolId_t pool) {
  for_each_memory([&](DeviceMemory& memory) {
    translated([&] {
      memory.pools().release_unused();
      // What still runs would keep its memory; torch's own waits for it, too.
      memory.pools().wait_for_device();
      // A pool that has users keeps what is free in it: recorded work may name it.
      if (pool == MempoolId_t{0, 0}) memory.device().trim();
    });
  });
}

void CudaAllocator::cacheInfo(c10::DeviceIndex index, std::size_t* largest) {
  DeviceMemory& memory = memory_of(index);
  const millrace::MemoryStats stats = translated([&] { return memory.device().memory(); });
  if (*largest == 0) {
    // What the device has left is the first guess, as torch has it, as far as the limit allows.
    *largest = std::min(getMemoryInfo(index).first, stats.limit - stats.committed);
  }
  for (const millrace::MemorySegment& segment :
       translated([&] { return memory.device().memory_segments(); })) {
    for (const millrace::MemoryBlock& block : segment.blocks) {
      if (block.state != millrace::MemoryState::live) *largest = std::max(*largest, block.bytes);
    }
  }
}

}  // namespace millrace_torch
