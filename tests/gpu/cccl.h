// Algorithms of CUDA's C++ libraries, with all their memory from a resource of ours.
#pragma once

#include <millrace/cuda/resource.h>

#include <cstdint>
#include <vector>

#include <cuda_runtime_api.h>

namespace millrace::test {

/// Sorted by Thrust in a device_vector, on the stream; both have their memory from the resource.
std::vector<std::uint32_t> thrust_sorted(const cuda::resource& memory, cudaStream_t stream,
                                         const std::vector<std::uint32_t>& numbers);

/// Summed by CUB, whose temporary storage is the resource's; through an environment where CCCL has that.
std::uint64_t cub_sum(cuda::resource memory, cudaStream_t stream, const std::vector<std::uint32_t>& numbers);

}  // namespace millrace::test
