#include "bench/spin_kernel.h"

#include <cuda_runtime_api.h>

#include <stdexcept>
#include <string>

namespace millrace::tool {
namespace {

constexpr long long kTicks = 1'000'000;

__global__ void spin(long long* out) {
  const long long begin = clock64();
  long long now = begin;
  while (now - begin < kTicks) now = clock64();
  *out = now;
}

void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(error));
}

}  // namespace

void select_cuda_device(int number) {
  check(cudaSetDevice(number), "cudaSetDevice");
}

void launch_spin(void* stream, void* eight_bytes) {
  spin<<<1, 1, 0, static_cast<cudaStream_t>(stream)>>>(static_cast<long long*>(eight_bytes));
  check(cudaGetLastError(), "the launch of a kernel");
}

void wait_for_cuda_device() {
  check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
}

SpinStream::SpinStream() {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  stream_ = stream;
  if (const cudaError_t error = cudaMalloc(&eight_bytes_, 8); error != cudaSuccess) {
    static_cast<void>(cudaStreamDestroy(stream));
    check(error, "cudaMalloc");
  }
}

SpinStream::~SpinStream() {
  if (stream_ == nullptr) return;
  static_cast<void>(cudaStreamDestroy(static_cast<cudaStream_t>(stream_)));
  static_cast<void>(cudaFree(eight_bytes_));
}

}  // namespace millrace::tool
