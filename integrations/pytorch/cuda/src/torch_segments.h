// Memory of MemPools that bring an allocator of their own: NCCL's, symmetric memory's, a user's.
#pragma once

#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGraphsC10Utils.h>
#include <c10/util/Exception.h>

#include <cstddef>
#include <exception>
#include <memory>
#include <stdexcept>
#include <utility>

#include <millrace/memory_pool.h>

namespace millrace_torch {

/// Segments of a pool as one of torch's allocators gives them, also while the calling thread captures, where
/// taking memory from the driver is not to count as part of that.
///
/// Thread safety: as millrace::SegmentSource, and so has the allocator to be.
class TorchSegments final : public millrace::SegmentSource {
 public:
  using Allocator = std::shared_ptr<c10::cuda::CUDACachingAllocator::CUDAAllocator>;

  explicit TorchSegments(Allocator allocator) : allocator_(std::move(allocator)) {}

  void* allocate(std::size_t bytes) override {
    const c10::cuda::CUDAStreamCaptureModeGuard relaxed(cudaStreamCaptureModeRelaxed);
    try {
      return allocator_->raw_alloc(bytes);
    } catch (const c10::Error& error) {
      throw std::runtime_error(error.what_without_backtrace());
    }
  }
  void free(void* address, std::size_t /*bytes*/) noexcept override {
    try {
      const c10::cuda::CUDAStreamCaptureModeGuard relaxed(cudaStreamCaptureModeRelaxed);
      allocator_->raw_delete(address);
    } catch (const c10::Error& error) {
      warn(address, error.what_without_backtrace());
    } catch (const std::exception& error) {
      warn(address, error.what());
    }
  }

 private:
  static void warn(const void* address, const char* why) {
    TORCH_WARN("a MemPool's allocator could not free its segment ", address, ": ", why);
  }

  const Allocator allocator_;
};

}  // namespace millrace_torch
