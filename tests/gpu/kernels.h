// Kernels that stand for a user's own.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace millrace::test {

/// Adds one to each of so many words.
cudaError_t launch_add_one(cudaStream_t stream, std::uint32_t* words, std::size_t count);
/// Sets each word to a value, after so many clock ticks of the device.
cudaError_t launch_set(cudaStream_t stream, std::uint32_t* words, std::size_t count, std::uint32_t value,
                       long long ticks = 0);
/// Adds to wrong, which the host can read, how many words are not the value.
cudaError_t launch_expect(cudaStream_t stream, const std::uint32_t* words, std::size_t count,
                          std::uint32_t value, std::uint32_t* wrong);
/// Writes to an address that is no memory.
cudaError_t launch_illegal_access(cudaStream_t stream);
/// Executes an instruction that stops the device.
cudaError_t launch_trap(cudaStream_t stream);
/// Asks for more threads a block than there can be.
cudaError_t launch_too_large(cudaStream_t stream);

}  // namespace millrace::test
