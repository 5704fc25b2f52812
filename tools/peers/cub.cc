// CUB's CachingDeviceAllocator.
#include <cub/util_allocator.cuh>
#include <cub/version.cuh>

#include <cstdio>

#include "cuda_peer.h"

namespace millrace::peers {
namespace {

struct Cub {
  // Bins of powers of two, up to the largest block that the bench asks for; with its defaults CUB would keep
  // nothing above 2 MiB.
  static constexpr unsigned kGrowth = 2, kSmallestBin = 9, kLargestBin = 26;

  explicit Cub(int number)
      : device(number),
        allocator(kGrowth, kSmallestBin, kLargestBin, cub::CachingDeviceAllocator::INVALID_SIZE) {}

  void* allocate(cudaStream_t stream, std::size_t bytes) {
    void* address = nullptr;
    return allocator.DeviceAllocate(device, &address, bytes, stream) == cudaSuccess ? address : nullptr;
  }
  void release(cudaStream_t, void* address, std::size_t) {
    static_cast<void>(allocator.DeviceFree(device, address));
  }

  int device;
  cub::CachingDeviceAllocator allocator;
};

const char* cub_version() {
  static char text[32] = "";
  std::snprintf(text, sizeof text, "%d.%d.%d", CUB_MAJOR_VERSION, CUB_MINOR_VERSION, CUB_SUBMINOR_VERSION);
  return text;
}

}  // namespace
}  // namespace millrace::peers

extern "C" const millrace_peer* const* millrace_peers(void) {
  using namespace millrace::peers;
  static const millrace_peer peer = CudaPeer<Cub>::table("CUB", cub_version());
  static const millrace_peer* const all[] = {&peer, nullptr};
  return all;
}
