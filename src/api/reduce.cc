#include <millrace/reduce.h>

#include <cstddef>
#include <utility>
#include <variant>

#include "api/access.h"
#include "reduce/plan.h"
#include "reduce/record.h"
#include "reduce/requests.h"

namespace millrace {
namespace {

using detail::Access;

void record(Stream stream, Operation operation, const char* call) {
  Context& context = Access::context_of(Access::device_of(stream), call);
  const std::size_t scratch = context.core().backend().scratch_bytes(std::get<ReduceWork>(operation.work));
  record_reduction(context, Access::id_of(stream), std::move(operation), scratch, call);
}

}  // namespace

void reduce(Stream stream, ReduceOp op, const TensorView& input, const TensorView& output,
            std::span<const std::int64_t> dims, const ReduceOptions& options, SourcePlace place) {
  constexpr const char* kCall = "reduce";
  Context& context = Access::context_of(Access::device_of(stream), kCall);
  PlannedReduction planned =
      RememberedRequests::of(context).plan(context, {op, input, output, dims, options, place});
  record_reduction(context, Access::id_of(stream), std::move(planned.operation), planned.scratch_bytes,
                   kCall);
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
