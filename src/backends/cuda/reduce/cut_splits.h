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

/// For the regime lanes with tiles enough to leave them whole: threads along so many neighbouring vectors, of
/// `outer` rows of them, with which all multiprocessors have most nearly as many blocks and blocks as many
/// tiles. Whole warps, up to a block.
int even_width(std::int64_t columns, std::int64_t outer) noexcept;

}  // namespace millrace::cuda
