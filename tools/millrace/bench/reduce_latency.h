// bench reduce --latency: full sums from their launch to the result in the GPU's memory, beside PyTorch.
#pragma once

#include <string>

#include "bench/options.h"

namespace millrace::tool {

/// Sums of 1,024 to 2^24 f32, with a cache that has something to write and with one that has not. Throws
/// UsageError for a device that is no GPU.
BenchResult bench_reduce_latency(const std::string& device, const BenchOptions& options);

void print_reduce_latency(const BenchResult& result, int rounds);

}  // namespace millrace::tool
