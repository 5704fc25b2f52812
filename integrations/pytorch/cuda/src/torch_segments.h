// Memory of MemPools that bring an allocator of their own: NCCL's, symmetric memory's, a user's.
#pragma once

#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/util/Exception.h>

#include <cstddef>
#include <memory>
#include <utility>

#include <millrace/memory_pool.h>

namespace millrace_torch {

/// Segments of a pool as one of torch's allocators gives them.
///
/// Thread safety: as millrace::SegmentSource, and so has the allocator to be.
class TorchSegments final : public millrace::SegmentSource {
 public:
  using Allocator = std::shared_ptr<c10::cuda::CUDACachingAllocator::CUDAAllocator>;

  explicit TorchSegments(Allocator allocator) : allocator_(std::move(allocator)) {}
  void* allocate(std::size_t bytes) override { return allocator_->raw_alloc(bytes); }
  void free(void* address, std::size_t /*bytes*/) noexcept override {
    try {
      allocator_->raw_delete(address);
    } catch (const c10::Error& error) {
      TORCH_WARN("a MemPool's allocator could not free its segment ", address, ": ",
                 error.what_without_backtrace());
    }
  }

 private:
  const Allocator allocator_;
};

}  // namespace millrace_torch
