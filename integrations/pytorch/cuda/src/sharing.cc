// Memory that other processes and other devices reach.
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <utility>

#include "allocator.h"
#include "errors.h"
#include "shared_chunks.h"

namespace millrace_torch {

void* CudaAllocator::getBaseAllocation(void* address, std::size_t* bytes) {
  DeviceMemory& memory = memory_at(address);
  const auto at = static_cast<const std::byte*>(address);
  for (const millrace::MemorySegment& segment :
       translated([&] { return memory.device().memory_segments(); })) {
    const auto start = static_cast<const std::byte*>(segment.address);
    if (at < start || at >= start + segment.bytes) continue;
    if (bytes != nullptr) *bytes = segment.bytes;
    return const_cast<void*>(segment.address);
  }
  TORCH_CHECK(false, "invalid device pointer: ", address);
}

caching::ShareableHandle CudaAllocator::shareIpcHandle(void* address) {
  DeviceMemory& memory = memory_at(address);
  const std::size_t bytes = translated([&] { return memory.device().size_of(address); });
  const c10::cuda::CUDAGuard guard(memory.index());
  ExportedBlock exported = export_block(address, bytes);
  return {exported.offset, std::move(exported.handle)};
}

std::shared_ptr<void> CudaAllocator::getIpcDevPtr(std::string handle) {
  return import_block(handle, c10::cuda::current_device());
}

void CudaAllocator::enablePeerAccess(c10::DeviceIndex index, c10::DeviceIndex reached) {
  const c10::cuda::CUDAGuard guard(index);
  const cudaError_t result = cudaDeviceEnablePeerAccess(reached, 0);
  if (result == cudaErrorPeerAccessAlreadyEnabled) {
    static_cast<void>(cudaGetLastError());
  } else {
    C10_CUDA_CHECK(result);
  }
  translated([&] { memory_of(reached).device().grant_access(memory_of(index).device()); });
}

cudaError_t CudaAllocator::memcpyAsync(void* to, int to_device, const void* from, int from_device,
                                       std::size_t bytes, cudaStream_t stream, bool p2p_enabled) {
  // Mapped memory that the other device may not touch is copied by the call that names both.
  if (p2p_enabled || to_device == from_device)
    return cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream);
  return cudaMemcpyPeerAsync(to, to_device, from, from_device, bytes, stream);
}

}  // namespace millrace_torch
