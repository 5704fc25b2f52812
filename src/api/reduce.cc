#include <millrace/reduce.h>

#include <utility>

#include "api/access.h"
#include "reduce/plan.h"
#include "reduce/record.h"

namespace millrace {
namespace {

using detail::Access;

void record(Stream stream, Operation operation, const char* call) {
  record_reduction(Access::context_of(Access::device_of(stream), call), Access::id_of(stream),
                   std::move(operation), call);
}

}  // namespace

void reduce(Stream stream, ReduceOp op, const TensorView& input, const TensorView& output,
            std::span<const std::int64_t> dims, const ReduceOptions& options, SourcePlace place) {
  record(stream, reduction_operation(op, input, output, dims, options, place), "reduce");
}

void reduce_with_positions(Stream stream, ReduceOp op, const TensorView& input, const TensorView& values,
                           const TensorView& positions, std::span<const std::int64_t> dims,
                           SourcePlace place) {
  record(stream, positions_operation(op, input, values, positions, dims, place), "reduce_with_positions");
}

void statistics(Stream stream, const TensorView& input, Statistics* output,
                std::span<const std::int64_t> dims, SourcePlace place) {
  record(stream, statistics_operation(input, output, dims, place), "statistics");
}

}  // namespace millrace
