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
/// result_dtype. NumPy's rules: the sum of nothing is 0 and its product 1, its mean, var and std NaN, its
/// norm and counts 0, any of nothing is false and all true; min, max, argmin and argmax of nothing throw
/// InvalidArgument. NaN wins min and max, and the first one argmin and argmax; integers wrap. f16, bf16 and
/// f32 accumulate in at least f32, pairwise. The same bits come out whatever the number of workers.
///
/// Throws InvalidArgument (shapes, types, dims), InvalidState, Closed, ForkedProcess, and OutOfMemoryError
/// where the device needs memory besides the tensors. Thread safety: as Stream.
MILLRACE_API void reduce(Stream stream, ReduceOp op, const TensorView& input, const TensorView& output,
                         std::span<const std::int64_t> dims = {}, const ReduceOptions& options = {},
                         SourcePlace place = SourcePlace::here());

/// Records the extreme of input over dims together with its position, in one pass. op is argmin or argmax;
/// positions gets what reduce with op writes, values the elements there. Both have the same shape and
/// strides. Otherwise as reduce.
MILLRACE_API void reduce_with_positions(Stream stream, ReduceOp op, const TensorView& input,
                                        const TensorView& values, const TensorView& positions,
                                        std::span<const std::int64_t> dims = {},
                                        SourcePlace place = SourcePlace::here());

/// Records one pass over input that writes Statistics over dims to output: device memory, 8-byte aligned,
/// one for each element of result_shape(input.shape, dims, false), row-major.
MILLRACE_API void statistics(Stream stream, const TensorView& input, Statistics* output,
                             std::span<const std::int64_t> dims = {},
                             SourcePlace place = SourcePlace::here());

}  // namespace millrace
