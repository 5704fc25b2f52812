// In which order threads take outputs.
#pragma once

#include <cstdint>

#include "backends/cuda/reduce/plan.h"

namespace millrace::cuda {

/// For regimes whose threads count through the kept loops: where neighbours in the input are far apart in the
/// output, lets a few neighbours in the output follow each other, so that a warp does not write each of its
/// results by a pass of its own. loads: of an output, of load_bytes each.
void order_outputs(ReducePlan& plan, std::int64_t loads, std::int64_t load_bytes) noexcept;

}  // namespace millrace::cuda
