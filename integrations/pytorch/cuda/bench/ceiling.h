// The most that an allocator for torch could reach: what the bench holds the others against.
#pragma once

#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAFunctions.h>
#include <torch/csrc/cuda/CUDAPluggableAllocator.h>

#include <array>
#include <bit>
#include <cstddef>

namespace millrace_torch::bench {

/// Caches by thread, with no lock, no map and no count, and is wrong in every other way: it orders no
/// streams, knows no devices, gives nothing back.
class CeilingAllocator final : public torch::cuda::CUDAPluggableAllocator::CUDAPluggableAllocator {
 public:
  CeilingAllocator() : CUDAPluggableAllocator(&allocate_slowly, &free_slowly) {}

  c10::DataPtr allocate(std::size_t bytes) override {
    const c10::Device device(c10::kCUDA, c10::cuda::current_device());
    if (bytes == 0) return {nullptr, nullptr, &give_back, device};
    const std::size_t size_class = std::bit_width((bytes - 1) | (kLeast - 1));
    Block* block = cached_[size_class];
    if (block == nullptr) {
      block = new Block{nullptr, size_class, nullptr};
      C10_CUDA_CHECK(cudaMalloc(&block->data, std::size_t{1} << size_class));
    } else {
      cached_[size_class] = block->next;
    }
    return {block->data, block, &give_back, device};
  }
  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }

 private:
  struct Block {
    void* data;
    std::size_t size_class;
    Block* next;
  };
  static constexpr std::size_t kLeast = 512;

  static void give_back(void* context) {
    auto* const block = static_cast<Block*>(context);
    if (block == nullptr) return;
    block->next = cached_[block->size_class];
    cached_[block->size_class] = block;
  }
  // Of those who want no DataPtr.
  static void* allocate_slowly(std::size_t bytes, int /*device*/, cudaStream_t /*stream*/) {
    void* data = nullptr;
    C10_CUDA_CHECK(cudaMalloc(&data, bytes));
    return data;
  }
  static void free_slowly(void* data, std::size_t /*bytes*/, int /*device*/, cudaStream_t /*stream*/) {
    C10_CUDA_CHECK(cudaFree(data));
  }

  static inline thread_local std::array<Block*, 64> cached_{};
};

}  // namespace millrace_torch::bench
