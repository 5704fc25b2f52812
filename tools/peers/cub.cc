// CUB's CachingDeviceAllocator.
#include <cub/util_allocator.cuh>
#include <cub/version.cuh>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <mutex>

#include "cuda_peer.h"

namespace millrace::peers {
namespace {

struct Cub {
  // Bins of powers of two, up to the largest block that the bench asks for; with its defaults CUB would keep
  // nothing above 2 MiB.
  static constexpr unsigned kGrowth = 2, kSmallestBin = 9, kLargestBin = 26;

  static constexpr std::size_t kLargestBinned = std::size_t{1} << kLargestBin;

  Cub(int number, std::uint64_t)
      : device(number),
        allocator(kGrowth, kSmallestBin, kLargestBin, cub::CachingDeviceAllocator::INVALID_SIZE) {}

  void* allocate(cudaStream_t stream, std::size_t bytes) {
    void* address = nullptr;
    if (bytes > kLargestBinned) note_committed();
    return allocator.DeviceAllocate(device, &address, bytes, stream) == cudaSuccess ? address : nullptr;
  }
  void release(cudaStream_t, void* address, std::size_t bytes) {
    if (bytes > kLargestBinned) note_committed();
    static_cast<void>(allocator.DeviceFree(device, address));
  }
  std::uint64_t peak_committed() {
    note_committed();
    return peak;
  }

  /// Bins only grow, and blocks that are too large for one come and go: looking before each of these sees
  /// every peak, and costs the others nothing.
  void note_committed() {
    const std::lock_guard lock(allocator.mutex);
    const auto found = allocator.cached_bytes.find(device);
    if (found == allocator.cached_bytes.end()) return;
    peak = std::max<std::uint64_t>(peak, found->second.free + found->second.live);
  }

  int device;
  cub::CachingDeviceAllocator allocator;
  std::uint64_t peak = 0;  // guarded by the allocator's mutex
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
