#include "backends/cuda/peers.h"

#include <new>

#include "backends/cuda/devices.h"
#include "backends/cuda/driver.h"

namespace millrace::cuda {

CUresult Peers::context_of(CUdevice peer, CUcontext* context) noexcept {
  sync::LockGuard lock(mutex_);
  try {
    const auto [entry, added] = contexts_.try_emplace(peer, nullptr);
    CUresult result = CUDA_SUCCESS;
    if (added) result = hold_primary_context(peer, &entry->second);
    *context = entry->second;
    if (result != CUDA_SUCCESS) contexts_.erase(entry);
    return result;
  } catch (const std::bad_alloc&) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
}

Status Peers::check_reachable_from(CUdevice peer) const {
  int can = 0;
  const CUresult result = driver().can_access_peer(&can, peer, own_);
  if (result != CUDA_SUCCESS) return status_of(result, "asked which devices reach its memory", device_);
  if (can != 0) return {};
  return Status(ErrorCode::Unsupported,
                "cuda:" + std::to_string(peer) +
                    " can't reach this device's memory (no NVLink or PCIe path between them); copies between "
                    "the two work without",
                {.call = {}, .device = device_, .stream = -1, .rule = {}});
}

}  // namespace millrace::cuda
