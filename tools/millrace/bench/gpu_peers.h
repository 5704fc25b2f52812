// What reductions on a GPU are held against and what needs no process of its own: reading alone, and CUB.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <millrace/reduction.h>

namespace millrace::tool {

/// Inputs that launches take in turn, so that none finds its own in the GPU's cache. All are of bytes.
struct GpuInputs {
  std::span<const void* const> data;  ///< aligned to 16
  std::size_t bytes = 0;
};

// All on a stream of their own, after one launch that is not timed; back to back, by the GPU's own clock.
// Seconds of one launch. They throw std::runtime_error with the driver's reason, or because this build has no
// CUDA.
//
// Thread safety: any thread, which has selected the device (spin_kernel.h).

/// How it is launched to read all: what is fastest differs from device to device, and a ceiling is above all.
inline constexpr const char* kReadingLaunches =
    "the fastest of three launches: 1 block of 1024 threads on each multiprocessor, 4 loads of 16 bytes of a "
    "thread at once; 4 of 512, 8 loads; 8 of 256, 4 loads";

/// A kernel that reads all and adds nothing up; by the fastest of kReadingLaunches.
double time_reading_on_gpu(const GpuInputs& inputs, int launches);

/// Is there one of CUB's for this? op of f32, over all or over the last dimension.
constexpr bool has_cub_reduction(ReduceOp op) noexcept {
  return op == ReduceOp::sum || op == ReduceOp::min || op == ReduceOp::max;
}
/// A reduction of each of so many rows of f32 (1: DeviceReduce, else DeviceSegmentedReduce), whose results
/// are written to memory of CUB's own.
double time_cub(ReduceOp op, const GpuInputs& inputs, std::int64_t rows, int launches);

}  // namespace millrace::tool
