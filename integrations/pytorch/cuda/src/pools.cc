#include "pools.h"

#include <c10/util/Exception.h>

#include "allocator.h"

namespace millrace_torch {
namespace {

[[noreturn]] void throw_no_pools() {
  TORCH_CHECK(
      false,
      "Millrace's allocator for torch has no private pools yet: CUDA graphs and torch.cuda.MemPool need "
      "them; run this with torch's own allocator");
}

}  // namespace

void* Pools::allocate(std::size_t /*bytes*/, cudaStream_t /*stream*/, bool /*is_torchs*/) {
  return nullptr;
}

void Pools::trim(c10::MempoolId_t /*pool*/) {
  throw_no_pools();
}

void CudaAllocator::beginAllocateToPool(c10::DeviceIndex, MempoolId_t, std::function<bool(cudaStream_t)>) {
  throw_no_pools();
}

void CudaAllocator::endAllocateToPool(c10::DeviceIndex, MempoolId_t) {
  throw_no_pools();
}

void CudaAllocator::releasePool(c10::DeviceIndex, MempoolId_t) {
  throw_no_pools();
}

int CudaAllocator::getPoolUseCount(c10::DeviceIndex, MempoolId_t) {
  throw_no_pools();
}

void CudaAllocator::createOrIncrefPool(c10::DeviceIndex, MempoolId_t,
                                       std::shared_ptr<caching::CUDAAllocator>) {
  throw_no_pools();
}

void CudaAllocator::setUseOnOOM(c10::DeviceIndex, MempoolId_t, bool) {
  throw_no_pools();
}

void CudaAllocator::setNoSplit(c10::DeviceIndex, MempoolId_t) {
  throw_no_pools();
}

bool CudaAllocator::checkPoolLiveAllocations(c10::DeviceIndex, MempoolId_t,
                                             const std::unordered_set<void*>&) {
  throw_no_pools();
}

std::shared_ptr<caching::AllocatorState> CudaAllocator::getCheckpointState(c10::DeviceIndex, MempoolId_t) {
  throw_no_pools();
}

caching::CheckpointDelta CudaAllocator::setCheckpointPoolState(c10::DeviceIndex,
                                                               std::shared_ptr<caching::AllocatorState>) {
  throw_no_pools();
}

}  // namespace millrace_torch
