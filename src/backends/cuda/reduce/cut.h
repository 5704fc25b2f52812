// How a reduction is cut into blocks and threads.
#pragma once

#include "backends/cuda/reduce/plan.h"

namespace millrace::cuda {

/// Chooses the regime of a plan whose loops are known, and cuts it for that.
void cut(ReducePlan& plan) noexcept;

}  // namespace millrace::cuda
