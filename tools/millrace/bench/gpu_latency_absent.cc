// What stands for gpu_latency.cu in builds without CUDA.
#include <stdexcept>

#include "bench/gpu_latency.h"

namespace millrace::tool {

GpuLatency::GpuLatency() {
  throw std::runtime_error("this build has no CUDA, and no kernels");
}
GpuLatency::~GpuLatency() = default;
double GpuLatency::seconds(int /*launches*/, CacheBefore /*cache*/, const std::function<void()>& /*launch*/) {
  return 0;
}

}  // namespace millrace::tool
