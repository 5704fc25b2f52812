// Thrust and CUB on a stream of one's own, with all their memory from Millrace.
#include <millrace/cuda/thrust.h>

#include <cub/device/device_reduce.cuh>

#include <thrust/device_vector.h>
#include <thrust/execution_policy.h>
#include <thrust/sequence.h>
#include <thrust/sort.h>

#include <cstdint>
#include <cstdio>
#include <stdexcept>

#include <millrace/millrace.h>

namespace {

constexpr std::size_t kCount = 1 << 20;

using Numbers = thrust::device_vector<std::uint64_t, millrace::cuda::thrust_allocator<std::uint64_t>>;

void check(cudaError_t result) {
  if (result != cudaSuccess) throw std::runtime_error(cudaGetErrorString(result));
}

/// CUB says how much it needs for itself, and gets it from the same place as everything else.
std::uint64_t sum_of(const Numbers& numbers, millrace::cuda::resource memory, cudaStream_t stream) {
  constexpr std::size_t kAlignment = millrace::kDefaultAlignment;
  auto* const sum = static_cast<std::uint64_t*>(memory.allocate(stream, sizeof(std::uint64_t), kAlignment));
  std::size_t bytes = 0;
  check(cub::DeviceReduce::Sum(nullptr, bytes, numbers.begin(), sum, numbers.size(), stream));
  void* const storage = memory.allocate(stream, bytes, kAlignment);
  check(cub::DeviceReduce::Sum(storage, bytes, numbers.begin(), sum, numbers.size(), stream));
  memory.deallocate(stream, storage, bytes, kAlignment);  // while CUB uses it: it is reused after that
  std::uint64_t total = 0;
  check(cudaMemcpyAsync(&total, sum, sizeof total, cudaMemcpyDefault, stream));
  memory.deallocate(stream, sum, sizeof total, kAlignment);
  check(cudaStreamSynchronize(stream));
  return total;
}

bool run() {
  millrace::cuda::resource memory(millrace::Device::open("cuda"));
  cudaStream_t stream = nullptr;  // one that waits for the default stream, on which Thrust's vectors work
  check(cudaStreamCreate(&stream));

  // A vector, and what sorting it needs.
  Numbers numbers(kCount, millrace::cuda::thrust_allocator<std::uint64_t>(memory));
  millrace::cuda::thrust_allocator<char> scratch(memory, stream);
  thrust::sequence(thrust::cuda::par(scratch).on(stream), numbers.begin(), numbers.end());
  thrust::sort(thrust::cuda::par(scratch).on(stream), numbers.begin(), numbers.end(),
               thrust::greater<std::uint64_t>());
  const std::uint64_t largest = numbers[0], sum = sum_of(numbers, memory, stream);

  std::printf("largest %llu, sum %llu, %llu allocations\n", static_cast<unsigned long long>(largest),
              static_cast<unsigned long long>(sum),
              static_cast<unsigned long long>(memory.device().memory().allocations));
  memory.forget(stream);  // before it is destroyed
  check(cudaStreamDestroy(stream));
  return largest == kCount - 1 && sum == kCount * (kCount - 1) / 2;
}

}  // namespace

int main() {
  for (const millrace::AbsentBackend& absent : millrace::Device::absent()) {
    std::printf("skipped: %s: %s\n", absent.name.c_str(), absent.reason.c_str());
    return 77;
  }
  return run() ? 0 : 1;
}
