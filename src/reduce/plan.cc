#include "reduce/plan.h"

#include <bitset>
#include <string>
#include <utility>

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

/// "sum of f32 [2, 3] over dims [1]", what messages begin with.
std::string asked(ReduceOp op, const TensorView& input, std::span<const std::int64_t> dims) {
  return std::string(to_string(op)) + " of " + std::string(to_string(input.dtype)) + " " +
         to_text(input.shape) + (dims.empty() ? " over all dims" : " over dims " + to_text(dims));
}

struct Spans {
  Span input, output;
};

Spans check(ReduceOp op, const TensorView& input, const TensorView& output,
            std::span<const std::int64_t> dims) {
  constexpr const char* kCall = "reduce";
  if (op > ReduceOp::max) refuse(kCall, "the operation is not a ReduceOp; use one of its values");
  Spans spans{checked_span(kCall, "input", input), {}};
  const Dims dropped = result_shape(input.shape, dims, false);
  const Dims kept = result_shape(input.shape, dims, true);
  if (!(output.shape == dropped) && !(output.shape == kept)) {
    refuse(kCall, asked(op, input, dims) + ": the output has shape " + to_text(output.shape) +
                      ", the result has " + to_text(dropped) + ", or " + to_text(kept) +
                      " with reduced dimensions kept; result_shape gives both");
  }
  const DType expected = result_dtype(op, input.dtype);
  if (output.dtype != expected) {
    refuse(kCall, asked(op, input, dims) + ": the output is " + std::string(to_string(output.dtype)) +
                      ", the result is " + std::string(to_string(expected)) + "; result_dtype gives it");
  }
  spans.output = checked_span(kCall, "output", output);
  if (spans.output.bytes != 0 && spans.input.bytes == 0 && (op == ReduceOp::min || op == ReduceOp::max)) {
    refuse(kCall, asked(op, input, dims) + ": there is no " + to_string(op) +
                      " of nothing; leave empty tensors out");
  }
  for (int i = 0; i < output.shape.size(); ++i) {
    if (output.strides[i] == 0 && output.shape[i] > 1 && spans.output.bytes != 0) {
      refuse(kCall, asked(op, input, dims) + ": the output's strides " + to_text(output.strides) +
                        " put several results in one place; give each its own");
    }
  }
  if (overlap(spans.input, spans.output)) {
    refuse(kCall,
           asked(op, input, dims) + ": the output lies within the input's memory; give it memory of its own");
  }
  return spans;
}

ReduceWork normalise(ReduceOp op, const TensorView& input, const TensorView& output,
                     std::span<const std::int64_t> dims) {
  const std::bitset<kMaxDims> selected = select_dims(input.shape, dims);
  const bool reduced_are_kept = output.shape.size() == input.shape.size();
  // The strides of an input without elements were not checked, and lead nowhere.
  const bool empty = element_count(input.shape) == 0;
  LoopNest kept;
  LoopNest reduced;
  int position = 0;  // in the output
  for (int i = 0; i < input.shape.size(); ++i) {
    const std::int64_t stride = empty ? 0 : input.strides[i];
    if (selected.test(static_cast<std::size_t>(i))) {
      reduced.add({input.shape[i], stride, 0});
      if (reduced_are_kept) ++position;
    } else {
      kept.add({input.shape[i], stride, output.strides[position++]});
    }
  }
  ReduceWork work;
  work.op = op;
  work.input_dtype = input.dtype;
  work.output_dtype = output.dtype;
  work.input = input.data;
  work.output = output.data;
  work.kept_count = element_count(output.shape);
  if (work.kept_count == 0) {
    work.reduced_count = 0;
    return work;
  }

  LoopNest::Shift shift = kept.make_strides_positive();
  kept.normalise(LoopNest::Zeros::first);
  work.output =
      static_cast<char*>(output.data) + shift.other_stride * static_cast<std::int64_t>(size_of(output.dtype));
  for (int i = 0; i < kept.size(); ++i) {
    work.kept.push_back(kept[i].size);
    work.kept_strides.push_back(kept[i].stride);
    work.output_strides.push_back(kept[i].other_stride);
  }
  if (empty) {
    work.reduced_count = 0;
    return work;
  }
  work.reduced_count = element_count(input.shape) / work.kept_count;
  shift.stride += reduced.make_strides_positive().stride;
  reduced.normalise(LoopNest::Zeros::last);
  work.input =
      static_cast<const char*>(input.data) + shift.stride * static_cast<std::int64_t>(size_of(input.dtype));
  for (int i = 0; i < reduced.size(); ++i) {
    work.reduced.push_back(reduced[i].size);
    work.reduced_strides.push_back(reduced[i].stride);
  }
  return work;
}

void add_use(std::vector<Use>& uses, const Span& span, AccessMode mode) {
  if (span.bytes != 0) uses.push_back({span.address, span.bytes, mode});
}

}  // namespace

ReduceWork plan_reduction(ReduceOp op, const TensorView& input, const TensorView& output,
                          std::span<const std::int64_t> dims) {
  check(op, input, output, dims);
  return normalise(op, input, output, dims);
}

Operation reduction_operation(ReduceOp op, const TensorView& input, const TensorView& output,
                              std::span<const std::int64_t> dims, SourcePlace place) {
  const Spans spans = check(op, input, output, dims);
  Operation operation{normalise(op, input, output, dims), to_string(op), {}, place};
  if (spans.output.bytes != 0) add_use(operation.uses, spans.input, AccessMode::read);
  add_use(operation.uses, spans.output, AccessMode::write);
  return operation;
}

Operation statistics_operation(const TensorView& input, Statistics* output, SourcePlace place) {
  constexpr const char* kCall = "statistics";
  const Span span = checked_span(kCall, "input", input);
  const Span result{output, sizeof(Statistics)};
  if (output == nullptr || reinterpret_cast<std::uintptr_t>(output) % alignof(Statistics) != 0) {
    refuse(kCall, "the output is null or not aligned to " + std::to_string(alignof(Statistics)) +
                      " bytes; allocate sizeof(Statistics) bytes for it");
  }
  if (overlap(span, result)) {
    refuse(kCall, "the output lies within the input's memory; give it memory of its own");
  }
  StatisticsWork work{input.dtype, input.data, {}, {}, output};
  if (span.bytes == 0) {
    work.shape.push_back(0);
    work.strides.push_back(1);
  } else {
    LoopNest loops;
    for (int i = 0; i < input.shape.size(); ++i) loops.add({input.shape[i], input.strides[i], 0});
    const LoopNest::Shift shift = loops.make_strides_positive();
    loops.normalise(LoopNest::Zeros::last);
    work.input =
        static_cast<const char*>(input.data) + shift.stride * static_cast<std::int64_t>(size_of(input.dtype));
    for (int i = 0; i < loops.size(); ++i) {
      work.shape.push_back(loops[i].size);
      work.strides.push_back(loops[i].stride);
    }
  }
  Operation operation{work, "statistics", {}, place};
  add_use(operation.uses, span, AccessMode::read);
  add_use(operation.uses, result, AccessMode::write);
  return operation;
}

}  // namespace millrace
