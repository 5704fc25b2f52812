// A user's smallest program for CUDA's C++ libraries; where there is no GPU it says so.
#include <millrace/cuda/resource.h>

#include <cstdio>

#include <millrace/millrace.h>

int main() {
  for (const millrace::AbsentBackend& absent : millrace::Device::absent()) {
    std::printf("%s: %s\n", absent.name.c_str(), absent.reason.c_str());
    return 0;
  }
  millrace::cuda::resource memory(millrace::Device::open("cuda"));
  void* const block = memory.allocate_sync(1000, 256);
  memory.deallocate_sync(block, 1000, 256);
  return memory.device().memory().live == 0 ? 0 : 1;
}
