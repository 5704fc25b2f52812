// bench reduce on a GPU: beside PyTorch, CUB and a kernel that only reads.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <millrace/dtype.h>

#include "bench/options.h"

namespace millrace::tool {

struct GpuReduceRequest {
  std::string device;
  std::uint64_t bytes = 0;  ///< of an input
  std::vector<DType> dtypes;
  std::string wanted_case;  ///< only those with this in their names
  int random = 0;           ///< so many random shapes instead, of all types together
  std::uint64_t seed = 0;   ///< of those
};

/// Each case for each type: back-to-back launches over inputs in turn, by the GPU's clock. What is read and
/// what is written counts. Results are held against PyTorch's. Throws UsageError for a device that is no GPU.
BenchResult bench_reduce_on_gpu(const GpuReduceRequest& request, const BenchOptions& options);

void print_reduce_on_gpu(const BenchResult& result, std::uint64_t bytes, int rounds);

}  // namespace millrace::tool
