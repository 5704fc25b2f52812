#include "reduce/plan.h"

#include <bitset>
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <variant>

#include <millrace/error.h>

#include "device/dims.h"
#include "reduce/shape.h"

namespace millrace {
namespace {

[[noreturn]] void refuse(const char* call, std::string message) {
  ErrorContext context;
  context.call = call;
  throw Error(ErrorCode::InvalidArgument, std::move(message), std::move(context));
}

bool is_position(ReduceOp op) noexcept {
  return op == ReduceOp::argmin || op == ReduceOp::argmax;
}

/// Is there no result for no elements?
bool needs_elements(ReduceOp op) noexcept {
  return op == ReduceOp::min || op == ReduceOp::max || is_position(op);
}

/// What is asked: "sum" of the input over dims. For messages, and for what differs between the calls.
struct Request {
  const char* call;
  const char* what;
  const TensorView& input;
  std::span<const std::int64_t> dims;

  /// "sum of f32 [2, 3] over dims [1]", what messages begin with.
  std::string text() const {
    return std::string(what) + " of " + std::string(to_string(input.dtype)) + " " + to_text(input.shape) +
           (dims.empty() ? " over all dims" : " over dims " + to_text(dims));
  }
};

/// Results in memory: where, and how far apart in results.
struct Results {
  void* data;
  Dims strides;  ///< of the kept dimensions, or of all with 0 for the reduced ones
  bool keeps;    ///< the reduced dimensions are there
};

void refuse_overlap(const Request& request, const Span& input, const Span& output) {
  if (!overlap(input, output)) return;
  refuse(request.call,
         request.text() + ": the output lies within the input's memory; give it memory of its own");
}

/// The loops of the work; what else it says is the caller's to fill in.
ReduceWork normalise(const Request& request, const Results& results, std::size_t result_bytes,
                     bool positions) {
  const TensorView& input = request.input;
  const std::bitset<kMaxDims> selected = select_dims(input.shape, request.dims);
  // The strides of an input without elements were not checked, and lead nowhere.
  const bool empty = element_count(input.shape) == 0;
  LoopNest kept;
  LoopNest reduced;
  int position = 0;  // in the results' strides
  std::int64_t kept_count = 1;
  for (int i = 0; i < input.shape.size(); ++i) {
    const std::int64_t stride = empty ? 0 : input.strides[i];
    if (selected.test(static_cast<std::size_t>(i))) {
      reduced.add({input.shape[i], stride, 0});
      if (results.keeps) ++position;
    } else {
      kept.add({input.shape[i], stride, results.strides[position++]});
      kept_count *= input.shape[i];
    }
  }
  ReduceWork work;
  work.input_dtype = input.dtype;
  work.input = input.data;
  work.output = results.data;
  work.kept_count = kept_count;
  if (kept_count == 0) {
    work.reduced_count = 0;
    return work;
  }

  LoopNest::Shift shift = kept.make_strides_positive();
  kept.normalise(LoopNest::Zeros::first);
  work.output =
      static_cast<char*>(results.data) + shift.other_stride * static_cast<std::int64_t>(result_bytes);
  for (int i = 0; i < kept.size(); ++i) {
    work.kept.push_back(kept[i].size);
    work.kept_strides.push_back(kept[i].stride);
    work.output_strides.push_back(kept[i].other_stride);
  }
  if (empty) {
    work.reduced_count = 0;
    return work;
  }
  work.reduced_count = element_count(input.shape) / kept_count;
  if (positions) {
    reduced.merge();
  } else {
    shift.stride += reduced.make_strides_positive().stride;
    reduced.normalise(LoopNest::Zeros::last);
  }
  work.input =
      static_cast<const char*>(input.data) + shift.stride * static_cast<std::int64_t>(size_of(input.dtype));
  for (int i = 0; i < reduced.size(); ++i) {
    work.reduced.push_back(reduced[i].size);
    work.reduced_strides.push_back(reduced[i].stride);
  }
  return work;
}

Operation operation_for(ReduceWork work, const char* name, const Span& input, const Span& output,
                        SourcePlace place) {
  Operation operation{std::move(work), name, {}, place};
  if (output.bytes == 0) return operation;
  if (input.bytes != 0) operation.uses.push_back({input.address, input.bytes, AccessMode::read});
  operation.uses.push_back({output.address, output.bytes, AccessMode::write});
  return operation;
}

}  // namespace

Operation reduction_operation(ReduceOp op, const TensorView& input, const TensorView& output,
                              std::span<const std::int64_t> dims, const ReduceOptions& options,
                              SourcePlace place) {
  const Request request{"reduce", to_string(op), input, dims};
  if (static_cast<int>(op) >= kReduceOpCount) {
    refuse(request.call, "the operation is not a ReduceOp; use one of its values");
  }
  if (!std::isfinite(options.correction)) {
    refuse(request.call, request.text() + ": the correction is " + std::to_string(options.correction) +
                             "; it is 0 or 1 most of the time, and finite always");
  }
  const Span from = checked_span(request.call, "input", input);
  const Dims dropped = result_shape(input.shape, dims, false);
  const Dims kept = result_shape(input.shape, dims, true);
  if (!(output.shape == dropped) && !(output.shape == kept)) {
    refuse(request.call, request.text() + ": the output has shape " + to_text(output.shape) +
                             ", the result has " + to_text(dropped) + ", or " + to_text(kept) +
                             " with reduced dimensions kept; result_shape gives both");
  }
  const DType expected = result_dtype(op, input.dtype);
  if (output.dtype != expected) {
    refuse(request.call, request.text() + ": the output is " + std::string(to_string(output.dtype)) +
                             ", the result is " + std::string(to_string(expected)) +
                             "; result_dtype gives it");
  }
  const Span to = checked_span(request.call, "output", output);
  if (to.bytes != 0 && from.bytes == 0 && needs_elements(op)) {
    refuse(request.call,
           request.text() + ": there is no " + to_string(op) + " of nothing; leave empty tensors out");
  }
  if (to.bytes != 0 && overlaps_itself(output)) {
    refuse(request.call, request.text() + ": the output's strides " + to_text(output.strides) +
                             " put several results in one place; give each its own");
  }
  refuse_overlap(request, from, to);
  ReduceWork work =
      normalise(request, {output.data, output.strides, output.shape.size() == input.shape.size()},
                size_of(output.dtype), is_position(op));
  work.op = op;
  work.correction = options.correction;
  work.output_dtype = output.dtype;
  return operation_for(std::move(work), to_string(op), from, to, place);
}

Operation positions_operation(ReduceOp op, const TensorView& input, const TensorView& values,
                              const TensorView& positions, std::span<const std::int64_t> dims,
                              SourcePlace place) {
  const Request request{"reduce_with_positions", to_string(op), input, dims};
  if (!is_position(op)) {
    refuse(request.call, std::string("the operation is ") + to_string(op) +
                             ", which has no position; use argmin or argmax");
  }
  Operation operation = reduction_operation(op, input, positions, dims, {}, place);
  if (values.dtype != input.dtype || !(values.shape == positions.shape) ||
      !(values.strides == positions.strides)) {
    refuse(request.call, request.text() + ": the values are " + std::string(to_string(values.dtype)) + " " +
                             to_text(values.shape) + " with strides " + to_text(values.strides) +
                             "; they need the input's type, and shape " + to_text(positions.shape) +
                             " and strides " + to_text(positions.strides) + " of the positions");
  }
  const Span to = checked_span(request.call, "values", values);
  refuse_overlap(request, checked_span(request.call, "input", input), to);
  if (overlap(to, checked_span(request.call, "positions", positions))) {
    refuse(request.call, request.text() + ": values and positions lie in the same memory; give each its own");
  }
  auto& work = std::get<ReduceWork>(operation.work);
  // Where loops were turned round, the results begin elsewhere, by as many elements.
  const std::ptrdiff_t moved = (static_cast<char*>(work.output) - static_cast<char*>(positions.data)) /
                               static_cast<std::ptrdiff_t>(sizeof(std::int64_t));
  work.values = static_cast<char*>(values.data) + moved * static_cast<std::ptrdiff_t>(size_of(values.dtype));
  if (to.bytes != 0) operation.uses.push_back({to.address, to.bytes, AccessMode::write});
  return operation;
}

Operation statistics_operation(const TensorView& input, Statistics* output,
                               std::span<const std::int64_t> dims, SourcePlace place) {
  const Request request{"statistics", "statistics", input, dims};
  const Span from = checked_span(request.call, "input", input);
  const Dims shape = result_shape(input.shape, dims, false);
  const std::int64_t count = element_count(shape);
  std::int64_t bytes = 0;
  if (__builtin_mul_overflow(count, static_cast<std::int64_t>(sizeof(Statistics)), &bytes)) {
    refuse(request.call,
           request.text() + ": " + std::to_string(count) + " results are more than there is memory");
  }
  if (output == nullptr || reinterpret_cast<std::uintptr_t>(output) % alignof(Statistics) != 0) {
    refuse(request.call, request.text() + ": the output is null or not aligned to " +
                             std::to_string(alignof(Statistics)) + " bytes; allocate " +
                             std::to_string(sizeof(Statistics)) + " bytes for each result");
  }
  const Span to{output, static_cast<std::size_t>(bytes)};
  refuse_overlap(request, from, to);
  ReduceWork work = normalise(request, {output, contiguous_strides(shape), false}, sizeof(Statistics), false);
  work.statistics = true;
  return operation_for(std::move(work), "statistics", from, to, place);
}

}  // namespace millrace
