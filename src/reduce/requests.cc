#include "reduce/requests.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <variant>

#include "device/core.h"
#include "reduce/plan.h"
#include "reduce/shape.h"

namespace millrace {
namespace {

std::uintptr_t number_of(const void* address) noexcept {
  return reinterpret_cast<std::uintptr_t>(address);
}

std::ptrdiff_t distance(const void* from, const void* to) noexcept {
  return static_cast<std::ptrdiff_t>(number_of(to) - number_of(from));
}

std::uintptr_t moved(const void* from, std::ptrdiff_t by) noexcept {
  return number_of(from) + static_cast<std::uintptr_t>(by);
}

}  // namespace

RememberedRequests& RememberedRequests::of(Context& context) {
  if (!context.requests) context.requests = std::make_unique<RememberedRequests>();
  return static_cast<RememberedRequests&>(*context.requests);
}

bool RememberedRequests::Kind::is_of(const ReduceRequest& request) const noexcept {
  return known && op == request.op && correction == request.options.correction &&
         input_dtype == request.input.dtype && output_dtype == request.output.dtype &&
         input_in_vector == number_of(request.input.data) % kVector && input_shape == request.input.shape &&
         std::ranges::equal(dims, request.dims) && input_strides == request.input.strides &&
         output_shape == request.output.shape && output_strides == request.output.strides;
}

RememberedRequests::Kind* RememberedRequests::find(const ReduceRequest& request) noexcept {
  for (std::size_t i = 0; i < kKinds; ++i) {
    const std::size_t at = (next_ + i) % kKinds;
    if (!kinds_[at].is_of(request)) continue;
    next_ = (at + 1) % kKinds;
    return &kinds_[at];
  }
  return nullptr;
}

void RememberedRequests::remember(const ReduceRequest& request, const PlannedReduction& planned) noexcept {
  const auto& uses = planned.operation.uses;
  const auto& work = std::get<ReduceWork>(planned.operation.work);
  // One that reads or writes nothing has addresses that nobody checked.
  if (uses.size() != 2 || request.dims.size() > static_cast<std::size_t>(kMaxDims)) return;
  Kind& kind = kinds_[next_];
  next_ = (next_ + 1) % kKinds;
  kind.known = true;
  kind.op = request.op;
  kind.correction = request.options.correction;
  kind.input_dtype = request.input.dtype;
  kind.output_dtype = request.output.dtype;
  kind.input_in_vector = number_of(request.input.data) % kVector;
  kind.input_shape = request.input.shape;
  kind.input_strides = request.input.strides;
  kind.output_shape = request.output.shape;
  kind.output_strides = request.output.strides;
  kind.dims = Dims(request.dims);
  kind.work = work;
  kind.input = {distance(request.input.data, uses[0].address), uses[0].bytes};
  kind.output = {distance(request.output.data, uses[1].address), uses[1].bytes};
  kind.work_input = distance(request.input.data, work.input);
  kind.work_output = distance(request.output.data, work.output);
  kind.scratch_bytes = planned.scratch_bytes;
}

PlannedReduction RememberedRequests::plan(Context& context, const ReduceRequest& request) {
  if (const Kind* const kind = find(request)) {
    const Span from{reinterpret_cast<const void*>(moved(request.input.data, kind->input.from)),
                    kind->input.bytes};
    const Span to{reinterpret_cast<const void*>(moved(request.output.data, kind->output.from)),
                  kind->output.bytes};
    // What depends on addresses; whatever is wrong with them is said below.
    const auto is_there = [](const TensorView& view, const Span& span) {
      return view.data != nullptr && number_of(view.data) % size_of(view.dtype) == 0 &&
             number_of(span.address) + span.bytes > number_of(span.address);
    };
    if (is_there(request.input, from) && is_there(request.output, to) && !overlap(from, to)) {
      PlannedReduction planned{{kind->work, to_string(request.op), {}, request.place}, kind->scratch_bytes};
      auto& work = std::get<ReduceWork>(planned.operation.work);
      work.input = reinterpret_cast<const void*>(moved(request.input.data, kind->work_input));
      work.output = reinterpret_cast<void*>(moved(request.output.data, kind->work_output));
      planned.operation.uses = {{from.address, from.bytes, AccessMode::read},
                                {to.address, to.bytes, AccessMode::write}};
      return planned;
    }
  }
  PlannedReduction planned{reduction_operation(request.op, request.input, request.output, request.dims,
                                               request.options, request.place),
                           0};
  planned.scratch_bytes =
      context.core().backend().scratch_bytes(std::get<ReduceWork>(planned.operation.work));
  remember(request, planned);
  return planned;
}

}  // namespace millrace
