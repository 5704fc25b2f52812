#include "backends/cuda/segment_memory.h"

#include <new>
#include <string>

#include "backends/cuda/driver.h"
#include "device/memory_range.h"

namespace millrace::cuda {

SegmentMemory::~SegmentMemory() {
  if (leaked_ || context() == nullptr) return;
  const ContextScope scope(context());
  for (const auto& [base, segment] : segments_) (void)driver().memory_free(base);
}

Status SegmentMemory::reserve(std::size_t bytes, void** base) noexcept try {
  *base = nullptr;
  if (!is_whole_granules(0, bytes, kGranule)) {
    return refuse(ErrorCode::InvalidArgument, "reserve", nullptr, bytes,
                  "the size must be a multiple of " + std::to_string(kGranule) + " and not zero");
  }
  const ContextScope scope(context());
  CUdeviceptr address = 0;
  CUresult result = scope.result();
  if (result == CUDA_SUCCESS) result = driver().memory_allocate(&address, bytes);
  if (result != CUDA_SUCCESS) return failed(result, "allocate", nullptr, bytes);
  if (address % kGranule != 0) {
    (void)driver().memory_free(address);
    return refuse(ErrorCode::Unsupported, "allocate", reinterpret_cast<void*>(address), bytes,
                  "the driver aligns to less than " + std::to_string(kGranule));
  }
  try {
    sync::LockGuard lock(mutex_);
    segments_.emplace(address, Segment{bytes});
  } catch (const std::bad_alloc&) {
    (void)driver().memory_free(address);
    return no_memory();
  }
  *base = reinterpret_cast<void*>(address);
  return {};
} catch (const std::bad_alloc&) {  // while the failure was being described
  return no_memory();
}

Status SegmentMemory::commit(void* address, std::size_t bytes) noexcept try {
  sync::LockGuard lock(mutex_);
  const auto segment = segments_.find(reinterpret_cast<std::uintptr_t>(address));
  if (segment == segments_.end() || segment->second.bytes != bytes)
    return refuse(ErrorCode::InvalidArgument, "commit", address, bytes, "not the whole of a reservation");
  if (segment->second.committed)
    return refuse(ErrorCode::InvalidState, "commit", address, bytes, "it is committed already");
  segment->second.committed = true;
  committed_ += bytes;
  return {};
} catch (const std::bad_alloc&) {  // while the failure was being described
  return no_memory();
}

std::span<std::byte> SegmentMemory::decommittable(void* address, std::size_t bytes) const noexcept {
  sync::LockGuard lock(mutex_);
  const auto segment = segments_.find(reinterpret_cast<std::uintptr_t>(address));
  if (segment == segments_.end() || segment->second.bytes != bytes) return {};
  return {static_cast<std::byte*>(address), bytes};
}

void SegmentMemory::decommit(void* address, std::size_t bytes) noexcept {
  sync::LockGuard lock(mutex_);
  const auto segment = segments_.find(reinterpret_cast<std::uintptr_t>(address));
  if (leaked_ || segment == segments_.end() || !segment->second.committed) return;
  segment->second.committed = false;
  committed_ -= bytes;
}

void SegmentMemory::release(void* base, std::size_t bytes) noexcept {
  const auto start = reinterpret_cast<std::uintptr_t>(base);
  {
    sync::LockGuard lock(mutex_);
    const auto segment = segments_.find(start);
    if (leaked_ || segment == segments_.end() || segment->second.bytes != bytes) return;
    if (segment->second.committed) committed_ -= bytes;
    segments_.erase(segment);
  }
  const ContextScope scope(context());
  (void)driver().memory_free(start);
}

Status SegmentMemory::grant_access(CUdevice peer) noexcept {
  try {
    if (peer == peers().own()) return {};
    if (Status reachable = peers().check_reachable_from(peer); !reachable.ok()) return reachable;
    CUcontext theirs = nullptr;
    CUresult result = peers().context_of(peer, &theirs);
    if (result == CUDA_SUCCESS) {
      // All memory of a context at once, what comes included.
      const ContextScope scope(theirs);
      result = scope.result();
      if (result == CUDA_SUCCESS) result = driver().peer_access(context(), 0);
      if (result == CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED) result = CUDA_SUCCESS;
    }
    if (result == CUDA_SUCCESS) return {};
    return status_of(result, "asked to let cuda:" + std::to_string(peer) + " reach its memory", device());
  } catch (const std::bad_alloc&) {
    return no_memory();
  }
}

bool SegmentMemory::contains(const void* address, std::size_t bytes) const noexcept {
  const auto start = reinterpret_cast<std::uintptr_t>(address);
  sync::LockGuard lock(mutex_);
  auto segment = segments_.upper_bound(start);
  if (segment == segments_.begin()) return false;
  --segment;
  const std::size_t offset = start - segment->first;
  const std::size_t size = segment->second.bytes;
  return segment->second.committed && offset < size && bytes <= size - offset;
}

std::size_t SegmentMemory::committed_bytes() const noexcept {
  sync::LockGuard lock(mutex_);
  return committed_;
}

void SegmentMemory::leak() noexcept {
  Memory::leak();
  sync::LockGuard lock(mutex_);
  leaked_ = true;
}

}  // namespace millrace::cuda
