// bench reduce on a GPU: beside PyTorch, CUB and a kernel that only reads.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <millrace/dtype.h>

#include "bench/options.h"

namespace millrace::tool {

/// Each case for each type: back-to-back launches over inputs of so many bytes in turn, by the GPU's clock.
/// Results are held against PyTorch's. Throws UsageError for a device that is no GPU.
BenchResult bench_reduce_on_gpu(const std::string& device, std::uint64_t bytes,
                                const std::vector<DType>& dtypes, const BenchOptions& options);

void print_reduce_on_gpu(const BenchResult& result, std::uint64_t bytes, int rounds);

}  // namespace millrace::tool
