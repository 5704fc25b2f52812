// A device's memory as a memory resource of CUDA's C++ libraries (CCCL's cuda::mr).
//
// Needs CCCL's headers, which are part of the CUDA toolkit. In CCCL 3.0, that of the toolkit 13.0, the
// concepts are experimental: include this before other headers of CCCL, or define
// LIBCUDACXX_ENABLE_EXPERIMENTAL_MEMORY_RESOURCE for the whole program. From 3.1 on they are not, and the
// names are others; this has both.
#pragma once

#ifndef LIBCUDACXX_ENABLE_EXPERIMENTAL_MEMORY_RESOURCE
#define LIBCUDACXX_ENABLE_EXPERIMENTAL_MEMORY_RESOURCE
#endif

#include <cuda/memory_resource>
#include <cuda/stream_ref>
#include <cuda/version>

#include <cstddef>
#include <memory>
#include <utility>

#include <cuda_runtime_api.h>

#include <millrace/native_allocator.h>

namespace millrace::cuda {

/// Hands out a device's memory. Copies share one NativeAllocator, which says how streams are found and for
/// how long they are kept; a copy in each container keeps it alive. cuda::mr::any_resource and CUB's
/// environments take it as it is, Thrust's vectors and temporary storage through thrust_allocator
/// (millrace/cuda/thrust.h).
///
/// Any stream of the device will do but cudaStreamPerThread, which is another one in each thread. What is
/// allocated through one resource may be freed through any that compares equal.
///
/// Thread safety: all members from any thread at any time, but assignment and the destructor of one copy.
/// Errors: as NativeAllocator.
class resource {
 public:
  explicit resource(Device device) : memory_(std::make_shared<NativeAllocator>(std::move(device))) {}

  const Device& device() const noexcept { return memory_->device(); }
  /// Lets go of a stream: before its owner destroys it, and after the last work on memory for it.
  void forget(::cuda::stream_ref stream) noexcept { memory_->forget(handle(stream)); }

  /// Memory for what is put on the stream from here on.
  void* allocate(::cuda::stream_ref stream, std::size_t bytes, std::size_t alignment) {
    return memory_->allocate(handle(stream), bytes, alignment);
  }
  /// Frees after what is on the stream now, and on the one that it was allocated for.
  void deallocate(::cuda::stream_ref stream, void* address, std::size_t /*bytes*/,
                  std::size_t /*alignment*/) noexcept {
    memory_->deallocate(handle(stream), address);
  }
  /// Memory for all streams at once; waits until nothing else uses it.
  void* allocate_sync(std::size_t bytes, std::size_t alignment) {
    return memory_->allocate_sync(bytes, alignment);
  }
  /// Nothing uses it any more.
  void deallocate_sync(void* address, std::size_t /*bytes*/, std::size_t /*alignment*/) noexcept {
    memory_->deallocate_sync(address);
  }

  // The same four by the names of CCCL 3.0.
  void* allocate_async(std::size_t bytes, std::size_t alignment, ::cuda::stream_ref stream) {
    return allocate(stream, bytes, alignment);
  }
  void deallocate_async(void* address, std::size_t bytes, std::size_t alignment,
                        ::cuda::stream_ref stream) noexcept {
    deallocate(stream, address, bytes, alignment);
  }
  void* allocate(std::size_t bytes, std::size_t alignment = kDefaultAlignment) {
    return allocate_sync(bytes, alignment);
  }
  void deallocate(void* address, std::size_t bytes, std::size_t alignment = kDefaultAlignment) noexcept {
    deallocate_sync(address, bytes, alignment);
  }

  /// Of the same device?
  friend bool operator==(const resource& a, const resource& b) noexcept { return a.device() == b.device(); }
  friend constexpr void get_property(const resource&, ::cuda::mr::device_accessible) noexcept {}

 private:
  /// What the caller was compiled to take the null stream for.
  static void* handle(::cuda::stream_ref stream) noexcept {
#ifdef CUDA_API_PER_THREAD_DEFAULT_STREAM
    if (stream.get() == nullptr) return cudaStreamPerThread;
#endif
    return stream.get();
  }

  std::shared_ptr<NativeAllocator> memory_;
};

#if CCCL_VERSION >= 3001000
static_assert(::cuda::mr::resource_with<resource, ::cuda::mr::device_accessible>);
static_assert(::cuda::mr::synchronous_resource_with<resource, ::cuda::mr::device_accessible>);
#else
static_assert(::cuda::mr::async_resource_with<resource, ::cuda::mr::device_accessible>);
static_assert(::cuda::mr::resource_with<resource, ::cuda::mr::device_accessible>);
#endif

}  // namespace millrace::cuda
