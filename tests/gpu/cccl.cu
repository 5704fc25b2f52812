#include "gpu/cccl.h"

#include <millrace/cuda/thrust.h>

#include <cub/device/device_reduce.cuh>

#include <thrust/copy.h>
#include <thrust/device_vector.h>
#include <thrust/execution_policy.h>
#include <thrust/sort.h>

#include <stdexcept>

namespace millrace::test {
namespace {

void check(cudaError_t result) {
  if (result != cudaSuccess) throw std::runtime_error(cudaGetErrorString(result));
}

}  // namespace

std::vector<std::uint32_t> thrust_sorted(const cuda::resource& memory, cudaStream_t stream,
                                         const std::vector<std::uint32_t>& numbers) {
  using Allocator = cuda::thrust_allocator<std::uint32_t>;
  // Its elements come from the host by the default stream, and the constructor waits for that.
  thrust::device_vector<std::uint32_t, Allocator> sorted(numbers.begin(), numbers.end(), Allocator(memory));
  cuda::thrust_allocator<char> scratch(memory, stream);
  thrust::sort(thrust::cuda::par_nosync(scratch).on(stream), sorted.begin(), sorted.end());
  std::vector<std::uint32_t> back(numbers.size());
  check(cudaMemcpyAsync(back.data(), thrust::raw_pointer_cast(sorted.data()),
                        back.size() * sizeof(std::uint32_t), cudaMemcpyDefault, stream));
  check(cudaStreamSynchronize(stream));
  return back;
}

std::uint64_t cub_sum(cuda::resource memory, cudaStream_t stream, const std::vector<std::uint32_t>& numbers) {
  const std::size_t bytes = numbers.size() * sizeof(std::uint32_t);
  auto* const input = static_cast<std::uint32_t*>(memory.allocate(stream, bytes, 256));
  auto* const output = static_cast<std::uint64_t*>(memory.allocate(stream, sizeof(std::uint64_t), 256));
  check(cudaMemcpyAsync(input, numbers.data(), bytes, cudaMemcpyDefault, stream));
  const int count = static_cast<int>(numbers.size());
  std::size_t needed = 0;
  check(cub::DeviceReduce::Sum(nullptr, needed, input, output, count, stream));
  void* const storage = memory.allocate(stream, needed, 256);
  check(cub::DeviceReduce::Sum(storage, needed, input, output, count, stream));
  memory.deallocate(stream, storage, needed, 256);
  memory.deallocate(stream, input, bytes, 256);
  std::uint64_t sum = 0;
  check(cudaMemcpyAsync(&sum, output, sizeof sum, cudaMemcpyDefault, stream));
  memory.deallocate(stream, output, sizeof sum, 256);
  check(cudaStreamSynchronize(stream));
  return sum;
}

}  // namespace millrace::test
