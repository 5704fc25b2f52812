// Other users of CUDA in the same process, and the end of a device of ours.
#include <cstdlib>

#include "gpu/gpu_test.h"

namespace millrace::test {
namespace {

// The runtime finds our primary context current and uses it without holding it, as PyTorch's does.
[[noreturn]] void allocate_in_a_task_and_use_after_close() {
  void* memory = nullptr;
  bool allocated = false;
  {
    Device device = Device::create("cuda:0");
    Stream stream = device.stream();
    stream.run("allocate", [&] { allocated = cudaMalloc(&memory, 4096) == cudaSuccess; });
    stream.wait();
    device.close();
  }
  if (!allocated) std::_Exit(1);
  if (cudaMemset(memory, 1, 4096) != cudaSuccess) std::_Exit(2);
  if (cudaDeviceSynchronize() != cudaSuccess) std::_Exit(3);
  if (cudaFree(memory) != cudaSuccess) std::_Exit(4);
  std::_Exit(0);
}

TEST(GpuContextDeathTest, ClosingADeviceTakesNothingFromOthers) {
  if (const std::string reason = no_gpu(); !reason.empty()) GTEST_SKIP() << reason;
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(allocate_in_a_task_and_use_after_close(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace millrace::test
