// Splitting what would leave blocks without work.
#pragma once

#include <cstdint>

#include "backends/cuda/reduce/plan.h"

namespace millrace::cuda {

/// Splits tiles of so many bytes where there are too few, each into a multiple of so many steps, and says how
/// many blocks there are.
void split(ReducePlan& plan, std::int64_t tile_bytes, std::int64_t multiple) noexcept;

}  // namespace millrace::cuda
