// Splitting what would leave blocks without work.
#pragma once

#include <cstdint>

#include "backends/cuda/reduce/plan.h"
#include "backends/cuda/reduce/variants.h"

namespace millrace::cuda {

/// What a block of a split reads at least, so that leaving and merging accumulators costs little beside it.
inline constexpr std::int64_t kSplitBytes = kHasLargeSplits ? 32 << 10 : 16 << 10;

/// Splits tiles of so many bytes where there are too few, each into a multiple of so many steps, and says how
/// many blocks there are.
void split(ReducePlan& plan, std::int64_t tile_bytes, std::int64_t multiple) noexcept;

}  // namespace millrace::cuda
