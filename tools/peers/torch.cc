// PyTorch's CUDACachingAllocator, by c10 alone: nothing else of PyTorch is loaded.
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/headeronly/version.h>

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

struct Torch {
  explicit Torch(int number) : device(number) {
    c10::cuda::set_device(static_cast<c10::DeviceIndex>(number));
    static std::once_flag once;
    std::call_once(once, [] {
      c10::cuda::_internal::setHasPrimaryContext([](c10::DeviceIndex) { return true; });
      caching::init(c10::cuda::device_count());
    });
  }
  ~Torch() { caching::emptyCache(); }

  void* allocate(cudaStream_t stream, std::size_t bytes) const {
    return caching::raw_alloc_with_stream(bytes, stream);
  }
  void release(cudaStream_t, void* address, std::size_t) const { caching::raw_delete(address); }

  static void enter(void* self) {
    CudaPeer<Torch>::enter(self);
    c10::cuda::set_device(static_cast<c10::DeviceIndex>(static_cast<Torch*>(self)->device));
  }

  static void record_use(void* self, void*, void* used_on, void* address) {
    const auto index = static_cast<c10::DeviceIndex>(static_cast<Torch*>(self)->device);
    // It asks for a DataPtr with its own deleter; the address is taken out again, so that this frees nothing.
    c10::DataPtr block(address, address, caching::get()->raw_deleter(), {c10::DeviceType::CUDA, index});
    caching::recordStream(block, c10::cuda::getStreamFromExternal(static_cast<cudaStream_t>(used_on), index));
    static_cast<void>(block.release_context());
  }

  int device;
};

}  // namespace
}  // namespace millrace::peers

extern "C" const millrace_peer* const* millrace_peers(void) {
  using namespace millrace::peers;
  static const millrace_peer peer = [] {
    millrace_peer made = CudaPeer<Torch>::table("torch", TORCH_VERSION);
    made.enter = Torch::enter;
    made.record_use = Torch::record_use;
    return made;
  }();
  static const millrace_peer* const all[] = {&peer, nullptr};
  return all;
}
