// Several reductions of one plan in one launch.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/cuda/reduce/plan.h"

namespace millrace::cuda {

/// What a reduction has for itself where others have the same plan.
struct PackItem {
  const void* input;
  void* output;
  void* accumulators;  ///< as ReduceKernels::launch has them, as are the tickets
  unsigned* tickets;
};

/// As many as fit the 4 KiB of parameters that every device takes, beside the plan.
inline constexpr int kMostPackItems = 100;

/// All of them, as a kernel gets them: no memory that somebody has to keep until they ran.
struct Pack {
  PackItem items[kMostPackItems];
};
static_assert(sizeof(ReducePlan) + sizeof(Pack) <= 4096, "parameters of a kernel");

/// What a reduction may read to share a launch. Launching more than that costs little beside the work.
inline constexpr std::int64_t kMostPackedBytes = std::int64_t{8} << 20;

/// Is it worth sharing a launch, and are there kernels for that? Says nothing of values beside positions,
/// of which items have none.
bool is_packable(const ReducePlan& plan) noexcept;

}  // namespace millrace::cuda
