// RMM's pool, arena and cuda_async resources.
#include <rmm/cuda_device.hpp>
#include <rmm/mr/arena_memory_resource.hpp>
#include <rmm/mr/cuda_async_memory_resource.hpp>
#include <rmm/mr/cuda_memory_resource.hpp>
#include <rmm/mr/pool_memory_resource.hpp>
#include <rmm/version_config.hpp>

#include <cuda/stream_ref>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "cuda_peer.h"

namespace millrace::peers {
namespace {

// What a resource gets at the start, in full: its users are told to give it most of the device. Half of what
// is free at most, so that the others in the same run have room.
std::size_t initial_bytes() {
  constexpr std::size_t kWanted = std::size_t{12} << 30;
  return std::min(kWanted, rmm::available_device_memory().first / 2) >> 21 << 21;
}

constexpr std::size_t kAlignment = 256;  // what RMM gives where none is asked for

template <typename Resource>
struct Rmm {
  template <typename... Arguments>
  explicit Rmm(int number, Arguments&&... arguments)
      : device(number), resource(std::forward<Arguments>(arguments)...) {}

  void* allocate(cudaStream_t stream, std::size_t bytes) {
    return resource.allocate(cuda::stream_ref(stream), bytes, kAlignment);
  }
  void release(cudaStream_t stream, void* address, std::size_t bytes) {
    resource.deallocate(cuda::stream_ref(stream), address, bytes, kAlignment);
  }

  int device;
  Resource resource;
};

struct Pool : Rmm<rmm::mr::pool_memory_resource> {
  explicit Pool(int number) : Rmm(number, rmm::mr::cuda_memory_resource(), initial_bytes()) {}
};
struct Arena : Rmm<rmm::mr::arena_memory_resource> {
  explicit Arena(int number) : Rmm(number, rmm::mr::cuda_memory_resource(), initial_bytes()) {}
};
struct Async : Rmm<rmm::mr::cuda_async_memory_resource> {
  explicit Async(int number) : Rmm(number, std::nullopt, SIZE_MAX) {}
};

}  // namespace
}  // namespace millrace::peers

extern "C" const millrace_peer* const* millrace_peers(void) {
  using namespace millrace::peers;
  static const millrace_peer pool = CudaPeer<Pool>::table("RMM pool", RMM_VERSION);
  static const millrace_peer arena = CudaPeer<Arena>::table("RMM arena", RMM_VERSION);
  static const millrace_peer async = CudaPeer<Async>::table("RMM cuda_async", RMM_VERSION);
  static const millrace_peer* const all[] = {&pool, &arena, &async, nullptr};
  return all;
}
