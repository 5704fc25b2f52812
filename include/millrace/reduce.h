// Reductions and statistics over device memory.
#pragma once

#include <cstdint>
#include <span>

#include <millrace/export.h>
#include <millrace/reduction.h>
#include <millrace/stream.h>
#include <millrace/tensor.h>

namespace millrace {

/// Records the reduction of input over dims into output, on the stream; returns at once.
///
/// output.shape must be result_shape(...) with keep or without, and output.dtype the one of
/// result_dtype. NumPy's rules: the sum of nothing is 0 and its product 1, its mean NaN; min and max
/// of nothing throw InvalidArgument; NaN wins min and max; integers wrap. f16, bf16 and f32 sums
/// accumulate in at least f32, pairwise.
///
/// Throws InvalidArgument (shapes, types, dims), InvalidState, Closed, ForkedProcess.
/// Thread safety: as Stream.
MILLRACE_API void reduce(Stream stream, ReduceOp op, const TensorView& input, const TensorView& output,
                         std::span<const std::int64_t> dims = {}, SourcePlace place = SourcePlace::here());

/// Records one pass over input that writes a Statistics to output (device memory, 8-byte aligned).
MILLRACE_API void statistics(Stream stream, const TensorView& input, Statistics* output,
                             SourcePlace place = SourcePlace::here());

}  // namespace millrace
