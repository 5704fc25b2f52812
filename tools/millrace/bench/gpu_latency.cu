#include "bench/gpu_latency.h"

#include <cuda_runtime_api.h>

#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench_report.h"

namespace millrace::tool {
namespace {

constexpr std::size_t kMemory = std::size_t{256} << 20;

void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(error));
}

__global__ void read_memory(uint4* memory, unsigned vectors) {
  unsigned bits = 0;
  for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < vectors; i += gridDim.x * blockDim.x) {
    const uint4 loaded = memory[i];
    bits |= loaded.x | loaded.y | loaded.z | loaded.w;
  }
  // It is all zeros, which the compiler does not know.
  if (bits != 0) memory[0].x = 0;
}

/// Two that keep times.
class Events {
 public:
  Events() {
    check(cudaEventCreate(&begin), "cudaEventCreate");
    check(cudaEventCreate(&end), "cudaEventCreate");
  }
  Events(Events&& other) noexcept : begin(other.begin), end(other.end) { other.begin = other.end = nullptr; }
  Events& operator=(Events&&) = delete;
  ~Events() {
    for (cudaEvent_t event : {begin, end}) {
      if (event != nullptr) static_cast<void>(cudaEventDestroy(event));
    }
  }

  cudaEvent_t begin = nullptr, end = nullptr;
};

}  // namespace

GpuLatency::GpuLatency() {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  stream_ = stream;
  const cudaError_t error = cudaMalloc(&memory_, kMemory);
  if (error != cudaSuccess) static_cast<void>(cudaStreamDestroy(stream));
  check(error, "cudaMalloc");
}

GpuLatency::~GpuLatency() {
  static_cast<void>(cudaFree(memory_));
  static_cast<void>(cudaStreamDestroy(static_cast<cudaStream_t>(stream_)));
}

double GpuLatency::seconds(int launches, CacheBefore cache, const std::function<void()>& launch) {
  auto* const stream = static_cast<cudaStream_t>(stream_);
  std::vector<Events> events(static_cast<std::size_t>(launches));
  check(cudaMemsetAsync(memory_, 0, kMemory, stream), "cudaMemsetAsync");
  launch();
  for (const Events& each : events) {
    if (cache == CacheBefore::written) {
      check(cudaMemsetAsync(memory_, 0, kMemory, stream), "cudaMemsetAsync");
    } else {
      read_memory<<<1024, 512, 0, stream>>>(static_cast<uint4*>(memory_), kMemory / sizeof(uint4));
      check(cudaGetLastError(), "read_memory");
    }
    check(cudaEventRecord(each.begin, stream), "cudaEventRecord");
    launch();
    check(cudaEventRecord(each.end, stream), "cudaEventRecord");
  }
  check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
  std::vector<double> found;
  for (const Events& each : events) {
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, each.begin, each.end), "cudaEventElapsedTime");
    found.push_back(milliseconds / 1e3);
  }
  return median(found);
}

}  // namespace millrace::tool
