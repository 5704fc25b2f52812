// Reductions and statistics on the calling thread: what the host backend runs for ReduceWork and
// StatisticsWork. The work was checked by the reduce layer; nothing is checked again here.
#pragma once

#include "device/operation.h"

namespace millrace::host {

/// Blocks until the result is written. Throws std::bad_alloc where scratch (at most some MiB) is short.
void run_reduce(const ReduceWork& work);

/// Blocks until the result is written. Reads each element once.
void run_statistics(const StatisticsWork& work) noexcept;

}  // namespace millrace::host
