// What stands for spin_kernel.cu in builds without CUDA: they have no device that would run a kernel.
#include <stdexcept>

#include "bench/spin_kernel.h"

namespace millrace::tool {
namespace {

[[noreturn]] void refuse() {
  throw std::runtime_error("this build has no CUDA, and no kernels");
}

}  // namespace

void select_cuda_device(int) {
  refuse();
}
void launch_spin(void*, void*) {
  refuse();
}
void wait_for_cuda_device() {
  refuse();
}
SpinStream::SpinStream() {
  refuse();
}
SpinStream::~SpinStream() = default;

}  // namespace millrace::tool
