// Making it torch's allocator.
#include <c10/core/Allocator.h>
#include <c10/util/Exception.h>
#include <torch/csrc/cuda/CUDAPluggableAllocator.h>
#include <torch/headeronly/version.h>

#include <atomic>
#include <memory>

#include "allocator.h"
#include "millrace_torch/cuda.h"

namespace millrace_torch {
namespace {

std::atomic<bool> installed{false};

}  // namespace

void install_cuda_allocator(const CudaOptions& options) {
  if (cuda_allocator_installed()) return;
  TORCH_CHECK(
      !caching::allocator.load()->initialized(),
      "torch has used CUDA already, and its allocator can't be replaced any more: call "
      "millrace_torch.install() "
      "right after `import torch`, before the first tensor on a GPU and before torch.cuda.init(), or set "
      "MILLRACE_TORCH=1 in the environment");
  CudaAllocator& mine = CudaAllocator::get();
  mine.set_options(options);
  // torch never lets go of it, since frees come at exit, too.
  const std::shared_ptr<caching::CUDAAllocator> kept(&mine, [](caching::CUDAAllocator*) {});
  torch::cuda::CUDAPluggableAllocator::changeCurrentAllocator(kept);
  // What torch.accelerator and the dispatcher ask; by itself the exchange above leaves the one before there.
  c10::SetAllocator(c10::kCUDA, &mine, 1);
  installed.store(true, std::memory_order_release);
}

bool cuda_allocator_installed() noexcept {
  return installed.load(std::memory_order_acquire);  // acquire: pairs with install_cuda_allocator
}

void forget_cuda_stream(int device, void* stream) noexcept {
  if (DeviceMemory* const memory = CudaAllocator::get().find_memory(static_cast<c10::DeviceIndex>(device)))
    memory->streams().forget(static_cast<cudaStream_t>(stream));
}

}  // namespace millrace_torch
