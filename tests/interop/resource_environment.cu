// What newer CUB and Thrust take: a resource in an environment, and our allocator as before. Compiled only.
#include <millrace/cuda/thrust.h>

#include <cub/device/device_reduce.cuh>

#include <thrust/device_vector.h>
#include <thrust/execution_policy.h>
#include <thrust/sort.h>

/// Where CUB is to work, and with whose memory.
struct Environment {
  millrace::cuda::resource memory;
  cudaStream_t stream;

  ::cuda::stream_ref query(::cuda::get_stream_t) const noexcept { return stream; }
  const millrace::cuda::resource& query(::cuda::mr::get_memory_resource_t) const noexcept { return memory; }
};

cudaError_t sum(const Environment& environment, const int* in, long* out, int count) {
  return cub::DeviceReduce::Sum(in, out, count, environment);
}

void sort(const millrace::cuda::resource& memory, cudaStream_t stream, int count) {
  thrust::device_vector<int, millrace::cuda::thrust_allocator<int>> numbers(
      count, 3, millrace::cuda::thrust_allocator<int>(memory));
  millrace::cuda::thrust_allocator<char> scratch(memory, stream);
  thrust::sort(thrust::cuda::par_nosync(scratch).on(stream), numbers.begin(), numbers.end());
}
