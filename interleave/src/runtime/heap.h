// The allocation functions of the process, which give a run's threads the run's memory.
#pragma once

namespace interleave {

/// Makes the linker take the allocation functions, and finds out what they need to know. Before any run.
void install_heap();

}  // namespace interleave
