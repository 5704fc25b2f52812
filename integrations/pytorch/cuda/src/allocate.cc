// Memory handed out and taken back: the path of every tensor.
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>
#include <c10/util/Exception.h>

#include <cstdlib>

#include "allocator.h"
#include "errors.h"
#include "out_of_memory.h"
#include "pools.h"
#include "rounding.h"

namespace millrace_torch {
namespace {

constexpr std::size_t kExabyte = std::size_t{1} << 60;

/// torch's own switch for finding errors with compute-sanitizer.
bool never_caches() noexcept {
  static const bool never = std::getenv("PYTORCH_NO_CUDA_MEMORY_CACHING") != nullptr;
  return never;
}

void* allocate_uncached(std::size_t bytes) {
  void* address = nullptr;
  C10_CUDA_CHECK(cudaMalloc(&address, bytes));
  trace_allocation(address);
  return address;
}

void delete_uncached(void* address) {
  trace_deallocation(address);
  C10_CUDA_CHECK(cudaFree(address));
}

}  // namespace

bool CudaAllocator::caches() const noexcept {
  return isEnabled() && !never_caches();
}

c10::DataPtr CudaAllocator::allocate(std::size_t bytes) {
  const c10::DeviceIndex index = c10::cuda::current_device();
  const c10::Device device(c10::kCUDA, index);
  if (bytes == 0) return {nullptr, nullptr, raw_deleter(), device};
  TORCH_CHECK_WITH(OutOfMemoryError, bytes < kExabyte,
                   "CUDA out of memory. Tried to allocate more than 1EB memory.");
  if (!caches()) [[unlikely]] {
    void* const address = allocate_uncached(bytes);
    return {address, address, &delete_uncached, device};
  }
  void* const address = obtain(index, bytes, c10::cuda::getCurrentCUDAStream(index));
  return {address, address, &CudaAllocator::delete_cached, device};
}

c10::DeleterFnPtr CudaAllocator::raw_deleter() const {
  return caches() ? &CudaAllocator::delete_cached : &delete_uncached;
}

void CudaAllocator::copy_data(void* to, const void* from, std::size_t bytes) const {
  C10_CUDA_CHECK(cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToDevice));
}

void* CudaAllocator::raw_uncached(std::size_t bytes) {
  void* const address = allocate_uncached(bytes);
  try {
    const std::lock_guard lock(uncached_mutex_);
    uncached_.insert(address);
    // release: pairs with the acquire in raw_delete.
    uncached_count_.store(uncached_.size(), std::memory_order_release);
  } catch (...) {
    delete_uncached(address);
    throw;
  }
  return address;
}

bool CudaAllocator::take_uncached(void* address) {
  const std::lock_guard lock(uncached_mutex_);
  const bool was = uncached_.erase(address) != 0;
  // release: as in raw_uncached.
  uncached_count_.store(uncached_.size(), std::memory_order_release);
  return was;
}

void* CudaAllocator::raw_alloc(std::size_t bytes) {
  if (bytes == 0) return nullptr;
  if (!caches()) [[unlikely]]
    return raw_uncached(bytes);
  const c10::DeviceIndex index = c10::cuda::current_device();
  return obtain(index, bytes, c10::cuda::getCurrentCUDAStream(index));
}

void* CudaAllocator::raw_alloc_with_stream(std::size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return nullptr;
  if (!caches()) [[unlikely]]
    return raw_uncached(bytes);
  DeviceMemory& memory = memory_of(c10::cuda::current_device());
  return obtain_on(memory, bytes, stream, memory.streams().is_known(stream));
}

void CudaAllocator::raw_delete(void* address) {
  // By where it came from: the switch may have been turned since. acquire: as raw_uncached's.
  if (uncached_count_.load(std::memory_order_acquire) != 0 && take_uncached(address)) [[unlikely]]
    return delete_uncached(address);
  free(address);
}

void* CudaAllocator::obtain(c10::DeviceIndex index, std::size_t bytes, c10::cuda::CUDAStream stream) {
  return obtain_on(memory_of(index), bytes, stream.stream(), TorchStreams::is_torchs(stream.id()));
}

void* CudaAllocator::obtain_on(DeviceMemory& memory, std::size_t bytes, cudaStream_t handle, bool is_torchs) {
  void* address = nullptr;
  try {
    const std::size_t room = rounded_up(bytes);
    if (memory.pools().any_begun()) [[unlikely]]
      address = memory.pools().allocate(room, handle, is_torchs);
    if (address == nullptr) {
      address = is_torchs ? memory.device().allocate(memory.streams().of(handle), room)
                          : memory.streams().external_memory().allocate(handle, room);
    }
    if (room != bytes) [[unlikely]]
      memory.device().note_requested(address, bytes);
  } catch (const millrace::OutOfMemoryError& error) {
    throw_out_of_memory(memory, observers_, bytes, handle, error);
  } catch (const millrace::Error& error) {
    throw_translated(error);
  }
  if (observers_.any()) [[unlikely]]
    observers_.on_allocate(memory, address, bytes, handle);
  if (c10::memoryProfilingEnabled()) [[unlikely]]
    report_to_profiler(memory, address, +1);
  trace_allocation(address);
  return address;
}

DeviceMemory* CudaAllocator::find_memory_at(const void* address) noexcept {
  // acquire: pairs with the release in open.
  if (DeviceMemory* const only = only_.load(std::memory_order_acquire)) [[likely]]
    return only;
  cudaPointerAttributes attributes{};
  if (cudaPointerGetAttributes(&attributes, address) != cudaSuccess) {
    static_cast<void>(cudaGetLastError());
    return nullptr;
  }
  return attributes.type == cudaMemoryTypeDevice
             ? find_memory(static_cast<c10::DeviceIndex>(attributes.device))
             : nullptr;
}

DeviceMemory& CudaAllocator::memory_at(const void* address) {
  DeviceMemory* const memory = find_memory_at(address);
  TORCH_CHECK(memory != nullptr, "invalid device pointer: ", address);
  return *memory;
}

void CudaAllocator::free(void* address) {
  if (address == nullptr) return;
  trace_deallocation(address);
  DeviceMemory* const found = find_memory_at(address);
  // At the end of the process the driver goes before tensors of static variables do, and the memory with it.
  if (found == nullptr && cudaFree(nullptr) != cudaSuccess) return;
  TORCH_CHECK(found != nullptr, "invalid device pointer: ", address);
  DeviceMemory& memory = *found;
  if (c10::memoryProfilingEnabled()) [[unlikely]]
    report_to_profiler(memory, address, -1);
  if (observers_.any()) [[unlikely]]
    observers_.on_free(memory, address);
  CaptureReuse& reuse = memory.pools().capture_reuse();
  if (reuse.any() && reuse.free(address)) [[unlikely]]
    return;
  try {
    memory.device().deallocate(address);
  } catch (const millrace::Error& error) {
    TORCH_CHECK(false, "invalid device pointer: ", address, ": ", error.what());
  }
}

void CudaAllocator::delete_cached(void* address) {
  get().free(address);
}

void CudaAllocator::recordStream(const c10::DataPtr& pointer, c10::cuda::CUDAStream stream) {
  // Of others (memory of another process, of no size) nothing is known here.
  if (pointer.get() == nullptr || pointer.get_deleter() != &CudaAllocator::delete_cached) return;
  DeviceMemory& memory = memory_at(pointer.get());
  CaptureReuse& reuse = memory.pools().capture_reuse();
  if (reuse.any() && reuse.record(pointer.get(), stream.stream())) return;
  translated([&] { memory.device().record_stream(pointer.get(), memory.streams().of_any(stream)); });
}

}  // namespace millrace_torch
