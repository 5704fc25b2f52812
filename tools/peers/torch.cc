// PyTorch's CUDACachingAllocator, by c10 alone: nothing else of PyTorch is loaded.
#include <c10/cuda/CUDAAllocatorConfig.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/headeronly/version.h>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <mutex>

#include "cuda_peer.h"

// Exported, and declared in no header: c10 asks through it which devices are in use, and the rest of PyTorch,
// which is not here, would have answered.
namespace c10::cuda::_internal {
C10_CUDA_API void setHasPrimaryContext(bool (*function)(DeviceIndex));
}

namespace millrace::peers {
namespace {

namespace caching = c10::cuda::CUDACachingAllocator;

// There is one of it in a process, whose setting can change while it holds nothing.
struct Torch {
  Torch(int number, const char* setting) : device(static_cast<c10::DeviceIndex>(number)) {
    c10::cuda::set_device(device);
    static std::once_flag once;
    std::call_once(once, [] {
      c10::cuda::_internal::setHasPrimaryContext([](c10::DeviceIndex) { return true; });
      caching::init(c10::cuda::device_count());
    });
    caching::setAllocatorSettings(setting);
    caching::resetPeakStats(device);
  }
  ~Torch() {
    try {
      caching::emptyCache();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "torch did not give back what it cached: %s\n", error.what());
    }
  }

  void* allocate(cudaStream_t stream, std::size_t bytes) const {
    return caching::raw_alloc_with_stream(bytes, stream);
  }
  void release(cudaStream_t, void* address, std::size_t) const { caching::raw_delete(address); }
  std::uint64_t peak_committed() const {
    constexpr auto kAll = static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    return static_cast<std::uint64_t>(caching::getDeviceStats(device).reserved_bytes[kAll].peak);
  }

  c10::DeviceIndex device;
};

struct Segments : Torch {
  Segments(int number, std::uint64_t) : Torch(number, "expandable_segments:False") {}
};
struct ExpandableSegments : Torch {
  ExpandableSegments(int number, std::uint64_t) : Torch(number, "expandable_segments:True") {}
};

template <typename Self>
struct TorchPeer : CudaPeer<Self> {
  static void enter(void* self) {
    CudaPeer<Self>::enter(self);
    CudaPeer<Self>::guard(self, [&] { c10::cuda::set_device(static_cast<Self*>(self)->device); });
  }

  /// What is cached is given back first: an expandable segment asks its stream then.
  static void close_stream(void* self, void* stream) {
    CudaPeer<Self>::guard(self, [] { caching::emptyCache(); });
    CudaPeer<Self>::close_stream(self, stream);
  }

  static void record_use(void* self, void*, void* used_on, void* address) {
    const c10::DeviceIndex index = static_cast<Self*>(self)->device;
    // It asks for a DataPtr with its own deleter; the address is taken out again, so that this frees nothing.
    c10::DataPtr block(address, address, caching::get()->raw_deleter(), {c10::DeviceType::CUDA, index});
    caching::recordStream(block, c10::cuda::getStreamFromExternal(static_cast<cudaStream_t>(used_on), index));
    static_cast<void>(block.release_context());
  }

  static millrace_peer table(const char* name, millrace_peer_role role) {
    millrace_peer made = CudaPeer<Self>::table(name, TORCH_VERSION, role);
    made.enter = enter;
    made.close_stream = close_stream;
    made.record_use = record_use;
    return made;
  }
};

}  // namespace
}  // namespace millrace::peers

extern "C" const millrace_peer* const* millrace_peers(void) {
  using namespace millrace::peers;
  static const millrace_peer peer = TorchPeer<Segments>::table("torch", MILLRACE_PEER_ALLOCATOR);
  static const millrace_peer expandable =
      TorchPeer<ExpandableSegments>::table("torch expandable", MILLRACE_PEER_SETTING);
  static const millrace_peer* const all[] = {&peer, &expandable, nullptr};
  return all;
}
