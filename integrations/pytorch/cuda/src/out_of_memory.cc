#include "out_of_memory.h"

#include <c10/core/Allocator.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdint>
#include <string>

namespace millrace_torch {

void throw_out_of_memory(DeviceMemory& memory, Observers& observers, std::size_t requested,
                         cudaStream_t stream, const millrace::OutOfMemoryError& error) {
  const millrace::OutOfMemoryReport& report = error.report();
  std::size_t device_free = 0, device_total = 0;
  {
    const c10::cuda::CUDAGuard guard(memory.index());
    C10_CUDA_CHECK(cudaMemGetInfo(&device_free, &device_total));
  }
  c10::reportOutOfMemoryToProfiler(static_cast<std::int64_t>(requested), report.live, report.committed,
                                   c10::Device(c10::kCUDA, memory.index()));
  observers.on_out_of_memory(memory, requested, stream, std::min(report.limit, device_total), device_free);
  using c10::CachingAllocator::format_size;
  const std::string allowed = report.limit < device_total ? format_size(report.limit) + " allowed; " : "";
  TORCH_CHECK_WITH(OutOfMemoryError, false, "CUDA out of memory. Tried to allocate ", format_size(requested),
                   ". GPU ", static_cast<int>(memory.index()), " has a total capacity of ",
                   format_size(device_total), " of which ", format_size(device_free), " is free. ", allowed,
                   "Of the allocated memory ", format_size(report.live), " is allocated by PyTorch, and ",
                   format_size(report.committed - report.live), " is reserved by PyTorch but unallocated.\n",
                   error.what());
}

}  // namespace millrace_torch
