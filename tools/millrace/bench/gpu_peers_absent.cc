// What stands for gpu_peers.cu in builds without CUDA.
#include <stdexcept>

#include "bench/gpu_peers.h"

namespace millrace::tool {
namespace {

[[noreturn]] void refuse() {
  throw std::runtime_error("this build has no CUDA, and no kernels");
}

}  // namespace

double time_reading_on_gpu(const GpuInputs&, int) {
  refuse();
}
double time_cub(ReduceOp, const GpuInputs&, std::int64_t, int) {
  refuse();
}

}  // namespace millrace::tool
