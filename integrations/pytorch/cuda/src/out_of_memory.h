// Out of memory, as torch says it.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

#include <millrace/error.h>

#include "device_memory.h"
#include "observers.h"

namespace millrace_torch {

/// Calls the observers and throws c10::OutOfMemoryError (torch.OutOfMemoryError in Python) with the figures
/// that torch gives and Millrace's report below them. No lock is held.
[[noreturn]] void throw_out_of_memory(DeviceMemory& memory, Observers& observers, std::size_t requested,
                                      cudaStream_t stream, const millrace::OutOfMemoryError& error);

}  // namespace millrace_torch
