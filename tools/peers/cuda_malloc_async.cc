// cudaMallocAsync on a pool of its own that keeps what it has, and cudaMalloc.
#include <cstdint>
#include <stdexcept>
#include <string>

#include "cuda_peer.h"

namespace millrace::peers {
namespace {

struct MallocAsync {
  explicit MallocAsync(int number) : device(number) {
    cudaMemPoolProps properties{};
    properties.allocType = cudaMemAllocationTypePinned;
    properties.location = {cudaMemLocationTypeDevice, number};
    std::uint64_t everything = UINT64_MAX;
    cudaError_t error = cudaMemPoolCreate(&pool, &properties);
    if (error == cudaSuccess) {
      error = cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &everything);
    }
    if (error != cudaSuccess) throw std::runtime_error(std::string("its pool: ") + cudaGetErrorString(error));
  }
  ~MallocAsync() { static_cast<void>(cudaMemPoolDestroy(pool)); }

  void* allocate(cudaStream_t stream, std::size_t bytes) const {
    void* address = nullptr;
    return cudaMallocFromPoolAsync(&address, bytes, pool, stream) == cudaSuccess ? address : nullptr;
  }
  void release(cudaStream_t stream, void* address, std::size_t) const {
    static_cast<void>(cudaFreeAsync(address, stream));
  }

  int device;
  cudaMemPool_t pool = nullptr;
};

struct Malloc {
  explicit Malloc(int number) : device(number) {}
  void* allocate(cudaStream_t, std::size_t bytes) const {
    void* address = nullptr;
    return cudaMalloc(&address, bytes) == cudaSuccess ? address : nullptr;
  }
  void release(cudaStream_t, void* address, std::size_t) const { static_cast<void>(cudaFree(address)); }

  int device;
};

}  // namespace
}  // namespace millrace::peers

extern "C" const millrace_peer* const* millrace_peers(void) {
  using namespace millrace::peers;
  static const millrace_peer pool = CudaPeer<MallocAsync>::table("cudaMallocAsync", cuda_version());
  static const millrace_peer plain = [] {
    millrace_peer peer = CudaPeer<Malloc>::table("cudaMalloc", cuda_version());
    peer.growth_only = 1;
    return peer;
  }();
  static const millrace_peer* const all[] = {&pool, &plain, nullptr};
  return all;
}
