// cudaMallocAsync on a pool of its own that keeps what it has, and cudaMalloc.
#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "cuda_peer.h"

namespace millrace::peers {
namespace {

struct MallocAsync {
  MallocAsync(int number, std::uint64_t) : device(number) {
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
  std::uint64_t peak_committed() const { return peak_reserved(pool); }

  int device;
  cudaMemPool_t pool = nullptr;
};

struct Malloc {
  Malloc(int number, std::uint64_t) : device(number) {}
  void* allocate(cudaStream_t, std::size_t bytes) {
    void* address = nullptr;
    if (cudaMalloc(&address, bytes) != cudaSuccess) return nullptr;
    // relaxed all: counts that publish nothing.
    const std::uint64_t now = live.fetch_add(rounded(bytes), std::memory_order_relaxed) + rounded(bytes);
    std::uint64_t most = peak.load(std::memory_order_relaxed);
    while (most < now && !peak.compare_exchange_weak(most, now, std::memory_order_relaxed)) {
    }
    return address;
  }
  void release(cudaStream_t, void* address, std::size_t bytes) {
    live.fetch_sub(rounded(bytes), std::memory_order_relaxed);
    static_cast<void>(cudaFree(address));
  }
  /// What it was asked for: how the driver packs blocks into its pages is not known.
  std::uint64_t peak_committed() const { return peak.load(std::memory_order_relaxed); }

  static std::uint64_t rounded(std::size_t bytes) { return (bytes + 511) / 512 * 512; }

  int device;
  std::atomic<std::uint64_t> live{0}, peak{0};
};

}  // namespace
}  // namespace millrace::peers

extern "C" const millrace_peer* const* millrace_peers(void) {
  using namespace millrace::peers;
  static const millrace_peer pool = CudaPeer<MallocAsync>::table("cudaMallocAsync", cuda_version());
  static const millrace_peer plain =
      CudaPeer<Malloc>::table("cudaMalloc", cuda_version(), MILLRACE_PEER_PLAIN);
  static const millrace_peer* const all[] = {&pool, &plain, nullptr};
  return all;
}
