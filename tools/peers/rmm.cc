// RMM's pool, arena and cuda_async resources.
#include <rmm/cuda_device.hpp>
#include <rmm/mr/arena_memory_resource.hpp>
#include <rmm/mr/cuda_async_memory_resource.hpp>
#include <rmm/mr/cuda_memory_resource.hpp>
#include <rmm/mr/pool_memory_resource.hpp>
#include <rmm/mr/statistics_resource_adaptor.hpp>
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

// Half of what is free at most, so that the others in the same run have room.
std::size_t at_the_start(std::uint64_t initial_bytes) {
  return std::min<std::size_t>(initial_bytes, rmm::available_device_memory().first / 2) >> 21 << 21;
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

// cudaMalloc, counted.
struct Upstream {
  std::uint64_t peak_committed() const {
    return static_cast<std::uint64_t>(upstream.get_bytes_counter().peak);
  }
  rmm::mr::statistics_resource_adaptor upstream{rmm::mr::cuda_memory_resource()};
};

struct Pool : Upstream, Rmm<rmm::mr::pool_memory_resource> {
  Pool(int number, std::uint64_t initial_bytes) : Rmm(number, upstream, at_the_start(initial_bytes)) {}
};
// It takes all that it ever has at the start; by itself, half of what is free.
struct Arena : Upstream, Rmm<rmm::mr::arena_memory_resource> {
  Arena(int number, std::uint64_t initial_bytes)
      : Rmm(number, upstream,
            initial_bytes == 0 ? std::nullopt : std::optional(at_the_start(initial_bytes))) {}
};
struct Async : Rmm<rmm::mr::cuda_async_memory_resource> {
  Async(int number, std::uint64_t) : Rmm(number, std::nullopt, SIZE_MAX) {}
  std::uint64_t peak_committed() const { return peak_reserved(resource.pool_handle()); }
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
