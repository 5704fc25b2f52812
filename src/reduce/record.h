// A planned reduction into a stream, with the memory that the device needs for it.
#pragma once

#include <cstddef>

#include "device/context.h"
#include "device/operation.h"
#include "stream/pool.h"

namespace millrace {

/// Records what reduction_operation and its like made. scratch_bytes: Backend::scratch_bytes of it, which is
/// allocated for the stream like anybody's memory, and freed once it is recorded:
/// the stream's order keeps it until the work is done. context: the calling thread's. Throws what
/// StreamPool::record and Allocator::allocate do.
///
/// Thread safety: any thread.
void record_reduction(Context& context, StreamId stream, Operation&& operation, std::size_t scratch_bytes,
                      const char* call);

}  // namespace millrace
