// Thrust and CUB on a stream of one's own, with all their memory from Millrace.
#include <millrace/cuda/thrust.h>

#include <cub/device/device_reduce.cuh>

#include <thrust/device_vector.h>
#include <thrust/execution_policy.h>
#include <thrust/sequence.h>
#include <thrust/sort.h>

#include <cstdint>
#include <cstdio>
#include <functional>

#include <millrace/millrace.h>

namespace {

constexpr std::size_t kCount = 1 << 20;

int run() {
  millrace::cuda::resource memory(millrace::Device::open("cuda"));
  cudaStream_t stream = nullptr;  // a stream that waits for the default one, on which Thrust's vectors work
  if (cudaStreamCreate(&stream) != cudaSuccess) return 1;

  // A vector, and what sorting it needs.
  using Numbers = thrust::device_vector<std::uint64_t, millrace::cuda::thrust_allocator<std::uint64_t>>;
  Numbers numbers(kCount, millrace::cuda::thrust_allocator<std::uint64_t>(memory));
  millrace::cuda::thrust_allocator<char> scratch(memory, stream);
  thrust::sequence(thrust::cuda::par(scratch).on(stream), numbers.begin(), numbers.end());
  thrust::sort(thrust::cuda::par(scratch).on(stream), numbers.begin(), numbers.end(),
               thrust::greater<std::uint64_t>());

  // CUB says how much it needs, and gets it from the same place.
  auto* const sum =
      static_cast<std::uint64_t*>(memory.allocate(stream, sizeof(std::uint64_t), alignof(std::uint64_t)));
  std::size_t bytes = 0;
  cub::DeviceReduce::Sum(nullptr, bytes, numbers.begin(), sum, kCount, stream);
  void* const storage = memory.allocate(stream, bytes, millrace::kDefaultAlignment);
  cub::DeviceReduce::Sum(storage, bytes, numbers.begin(), sum, kCount, stream);
  memory.deallocate(stream, storage, bytes, millrace::kDefaultAlignment);

  std::uint64_t total = 0;
  cudaMemcpyAsync(&total, sum, sizeof total, cudaMemcpyDefault, stream);
  memory.deallocate(stream, sum, sizeof total, alignof(std::uint64_t));
  const cudaError_t done = cudaStreamSynchronize(stream);
  const millrace::MemoryStats stats = memory.device().memory();
  std::printf("largest %llu, sum %llu, %llu allocations, %s\n", static_cast<unsigned long long>(numbers[0]),
              static_cast<unsigned long long>(total), static_cast<unsigned long long>(stats.allocations),
              cudaGetErrorString(done));
  const bool right = done == cudaSuccess && numbers[0] == kCount - 1 && total == kCount * (kCount - 1) / 2;
  memory.forget(stream);
  cudaStreamDestroy(stream);
  return right ? 0 : 1;
}

}  // namespace

int main() {
  for (const millrace::AbsentBackend& absent : millrace::Device::absent()) {
    std::printf("skipped: %s: %s\n", absent.name.c_str(), absent.reason.c_str());
    return 77;
  }
  return run();
}
