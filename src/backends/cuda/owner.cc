#include "backends/cuda/owner.h"

#include <algorithm>

#include "backends/cuda/driver.h"

namespace millrace::cuda {
namespace {

CUdeviceptr address_of(const void* pointer) noexcept {
  return reinterpret_cast<CUdeviceptr>(pointer);
}

/// What the driver takes an address for; type 0 and that device if it knows nothing of it.
struct Known {
  unsigned type = 0;
  CUdevice device;
};
Known ask_driver(const void* pointer, CUdevice device) noexcept {
  Known known{.device = device};
  CUpointer_attribute wanted[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL};
  void* answers[] = {&known.type, &known.device};
  // The call for one attribute would fail for addresses that the driver does not know.
  const CUresult result = driver().pointer_attributes(2, wanted, answers, address_of(pointer));
  return result == CUDA_SUCCESS ? known : Known{.device = device};
}

}  // namespace

Where find_owner(const void* pointer, std::size_t bytes, const Memory& memory) noexcept {
  const CUdevice own = memory.peers().own();
  if (memory.contains(pointer, bytes)) return {Owner::device, own};
  if (memory.pinned().contains(pointer, bytes)) return {Owner::registered, own};
  const Known first = ask_driver(pointer, own);
  const auto* const last = static_cast<const std::byte*>(pointer) + (bytes - 1);
  if (first.type == CU_MEMORYTYPE_DEVICE) return {Owner::device, first.device};
  if (first.type == 0 || ask_driver(last, own).type == 0) return {Owner::pageable, own};
  return {Owner::registered, own};
}

bool KnownPages::have(const void* address) const noexcept {
  const auto end = pages_.begin() + static_cast<std::ptrdiff_t>(count_);
  return std::find(pages_.begin(), end, page_of(address)) != end;
}

void KnownPages::look_at(const void* address, const Memory& memory) noexcept {
  const std::uintptr_t page = page_of(address);
  const auto* const begin = reinterpret_cast<const void*>(page * kBytes);
  if (!memory.contains(begin, kBytes) && !memory.pinned().contains(begin, kBytes)) return;
  if (count_ < pages_.size()) {
    pages_[count_++] = page;
  } else {
    pages_[next_++ % pages_.size()] = page;
  }
}

}  // namespace millrace::cuda
