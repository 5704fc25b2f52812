// Which devices there are, and opening them.
#include <c10/util/Exception.h>

#include "allocator.h"
#include "errors.h"

namespace millrace_torch {

CudaAllocator& CudaAllocator::get() {
  static auto* const allocator =
      new CudaAllocator;  // tensors of static variables are freed after everything else
  return *allocator;
}

void CudaAllocator::init(int device_count) {
  TORCH_CHECK(static_cast<std::size_t>(device_count) <= kMostDevices,
              "Millrace's allocator for torch takes up to ", kMostDevices, " CUDA devices, and there are ",
              device_count, "; set CUDA_VISIBLE_DEVICES");
  // release: pairs with the acquire in device_count.
  if (device_count > this->device_count()) device_count_.store(device_count, std::memory_order_release);
}

DeviceMemory* CudaAllocator::find_memory(c10::DeviceIndex index) noexcept {
  if (index < 0 || static_cast<std::size_t>(index) >= kMostDevices) return nullptr;
  // acquire: pairs with the release in open.
  return devices_[static_cast<std::size_t>(index)].load(std::memory_order_acquire);
}

DeviceMemory& CudaAllocator::open(c10::DeviceIndex index) {
  check_device(index, device_count());
  const std::lock_guard lock(opening_);
  if (DeviceMemory* const memory = find_memory(index)) return *memory;
  auto* const memory = translated(
      [&] { return new DeviceMemory(index, options_, observers_); });  // for the life of the process
  // release: pairs with the acquires in memory_of, find_memory and memory_at. First what frees ask, so that
  // an address of the second device is never taken for one of the first. relaxed: written under the mutex.
  const int opened = opened_count_.fetch_add(1, std::memory_order_relaxed);
  only_.store(opened == 0 ? memory : nullptr, std::memory_order_release);
  devices_[static_cast<std::size_t>(index)].store(memory, std::memory_order_release);
  return *memory;
}

}  // namespace millrace_torch
