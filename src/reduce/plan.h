// From what a caller asks of a tensor to work that a backend can run: everything is checked here.
#pragma once

#include <cstdint>
#include <span>

#include <millrace/reduction.h>
#include <millrace/stream.h>
#include <millrace/tensor.h>

#include "device/operation.h"

namespace millrace {

/// A reduction as something to submit: with its name and the memory it touches. Besides what ReduceWork
/// promises: no stride of the input is negative but where positions count, kept dimensions are ordered as the
/// reduced ones are but with those of stride zero first, and an empty list of sizes stands for a count of
/// zero too.
///
/// Throws InvalidArgument: shapes, strides or dims that contradict each other, a type that is not
/// result_dtype's, a correction that is no number, a null or misaligned address, an output that overlaps the
/// input or itself, an extreme of nothing.
Operation reduction_operation(ReduceOp op, const TensorView& input, const TensorView& output,
                              std::span<const std::int64_t> dims, const ReduceOptions& options = {},
                              SourcePlace place = {});

/// argmin or argmax with the elements found; throws as reduction_operation does.
Operation positions_operation(ReduceOp op, const TensorView& input, const TensorView& values,
                              const TensorView& positions, std::span<const std::int64_t> dims,
                              SourcePlace place = {});

/// One pass over input; output is 8-byte aligned. Throws InvalidArgument as reduction_operation does.
Operation statistics_operation(const TensorView& input, Statistics* output,
                               std::span<const std::int64_t> dims = {}, SourcePlace place = {});

}  // namespace millrace
