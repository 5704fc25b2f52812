// The allocation functions of the process, which give a run's threads the run's memory.
#pragma once

namespace interleave {

/// Makes the linker take the allocation functions, and finds out what they need to know. Before any run.
void install_heap();

/// Whether it is the C++ runtime that asks, for an exception: where there is no memory it has some of its
/// own.
bool is_for_exception(const void* caller) noexcept;

}  // namespace interleave
