#include "ops/reductions.h"

#include <unordered_map>
#include <vector>

#include "ops/aliases.h"
#include "ops/call.h"

namespace millrace_torch {
namespace {

using millrace::ReduceOp;

// Counts as an operator does (OperatorStream), which the runtime's own operations do not.
const std::string kEnd = "end of a reduction";

const std::unordered_map<std::string, Reduction>& reductions() {
  static const auto* const all = new std::unordered_map<std::string, Reduction>{
      {"aten::sum.IntList_out", {.op = ReduceOp::sum, .dims = 1, .dtype = 3}},
      {"aten::mean.out", {.op = ReduceOp::mean, .dims = 1, .dtype = 3}},
      {"aten::prod", {.op = ReduceOp::prod, .dtype = 1}},
      {"aten::prod.int_out", {.op = ReduceOp::prod, .dims = 1, .dtype = 3}},
      {"aten::amax.out", {.op = ReduceOp::max, .dims = 1}},
      {"aten::amin.out", {.op = ReduceOp::min, .dims = 1}},
      {"aten::max", {.op = ReduceOp::max}},
      {"aten::min", {.op = ReduceOp::min}},
      {"aten::max.dim_max", {.op = ReduceOp::argmax, .dims = 1, .positions = true}},
      {"aten::min.dim_min", {.op = ReduceOp::argmin, .dims = 1, .positions = true}},
      {"aten::argmax.out", {.op = ReduceOp::argmax, .dims = 1}},
      {"aten::argmin.out", {.op = ReduceOp::argmin, .dims = 1}},
      {"aten::any.out", {.op = ReduceOp::any, .dims = 1}},
      {"aten::any.dims_out", {.op = ReduceOp::any, .dims = 1, .no_dims_are_none = true}},
      {"aten::any.all_out", {.op = ReduceOp::any}},
      {"aten::all.out", {.op = ReduceOp::all, .dims = 1}},
      {"aten::all.dims_out", {.op = ReduceOp::all, .dims = 1, .no_dims_are_none = true}},
      {"aten::all.all_out", {.op = ReduceOp::all}},
      {"aten::var.correction", {.op = ReduceOp::var, .dims = 1, .correction = 2}},
      {"aten::std.correction", {.op = ReduceOp::std, .dims = 1, .correction = 2}},
      {"aten::linalg_vector_norm.out", {.op = ReduceOp::norm, .dims = 2, .dtype = 4, .order = 1}},
  };
  return *all;
}

std::optional<millrace::DType> dtype_of(c10::ScalarType type) {
  switch (type) {
    case c10::ScalarType::Double: return millrace::DType::f64;
    case c10::ScalarType::Float: return millrace::DType::f32;
    case c10::ScalarType::Half: return millrace::DType::f16;
    case c10::ScalarType::BFloat16: return millrace::DType::bf16;
    case c10::ScalarType::Long: return millrace::DType::i64;
    case c10::ScalarType::Int: return millrace::DType::i32;
    case c10::ScalarType::Short: return millrace::DType::i16;
    case c10::ScalarType::Char: return millrace::DType::i8;
    case c10::ScalarType::Byte: return millrace::DType::u8;
    case c10::ScalarType::Bool: return millrace::DType::boolean;
    default: return std::nullopt;
  }
}

std::optional<millrace::TensorView> view_of(const at::Tensor& tensor) {
  const auto dtype = dtype_of(tensor.scalar_type());
  if (!dtype || !is_ours(tensor) || tensor.dim() > millrace::kMaxDims || tensor.numel() == 0)
    return std::nullopt;
  auto* const data = static_cast<char*>(const_cast<void*>(tensor.storage().data())) +
                     tensor.storage_offset() * static_cast<std::int64_t>(tensor.element_size());
  return millrace::TensorView{data, *dtype,
                              millrace::Dims(std::span(tensor.sizes().data(), tensor.sizes().size())),
                              millrace::Dims(std::span(tensor.strides().data(), tensor.strides().size()))};
}

std::vector<std::int64_t> dims_of(const c10::IValue& value) {
  if (value.isInt()) return {value.toInt()};
  if (value.isIntList()) return value.toIntVector();
  return {};
}

bool shares_memory(const at::Tensor& a, const at::Tensor& b) {
  return a.storage().unsafeGetStorageImpl() == b.storage().unsafeGetStorageImpl();
}

}  // namespace

const Reduction* find_reduction(const std::string& operator_name) {
  const auto found = reductions().find(operator_name);
  return found == reductions().end() ? nullptr : &found->second;
}

bool record_reduction(const Reduction& reduction, OperatorStream& stream,
                      std::span<const c10::IValue> arguments, std::span<const at::Tensor> results) {
  const auto argument = [&](int index) -> const c10::IValue& {
    return arguments[static_cast<std::size_t>(index)];
  };
  const at::Tensor& from = arguments[0].toTensor();
  const auto input = view_of(from);
  if (!input || from.dim() == 0) return false;
  std::vector<millrace::TensorView> outputs;
  for (const at::Tensor& result : results) {
    const auto output = view_of(result);
    if (!output || shares_memory(result, from)) return false;
    outputs.push_back(*output);
  }
  // A type that was asked for is one more conversion, which the CPU's kernel does.
  if (reduction.dtype >= 0 && !argument(reduction.dtype).isNone() &&
      argument(reduction.dtype).toScalarType() != from.scalar_type())
    return false;
  const std::size_t first = reduction.positions ? 1 : 0;
  if (outputs.size() != first + 1 ||
      outputs[first].dtype != millrace::result_dtype(reduction.op, input->dtype))
    return false;
  if (reduction.positions && outputs[0].dtype != input->dtype) return false;
  if (reduction.order >= 0) {
    const c10::Scalar order = argument(reduction.order).toScalar();
    if (order.isComplex() || order.toDouble() != 2) return false;
  }
  millrace::ReduceOptions options;
  if (reduction.op == ReduceOp::var || reduction.op == ReduceOp::std) {
    if (!millrace::is_floating(input->dtype)) return false;
    const c10::IValue& correction = argument(reduction.correction);
    options.correction = correction.isNone() ? 1 : correction.toScalar().toDouble();
  }
  const std::vector<std::int64_t> dims =
      reduction.dims < 0 ? std::vector<std::int64_t>() : dims_of(argument(reduction.dims));
  // For the runtime they are all.
  if (reduction.no_dims_are_none && dims.empty() && argument(reduction.dims).isIntList()) return false;
  const CallStack called = CallStack::here();
  const millrace::SourcePlace place{configured_to_protect() ? called.kept_text() : "", 0};
  translated([&] {
    if (reduction.positions) {
      millrace::reduce_with_positions(stream.get(), reduction.op, *input, outputs[0], outputs[1], dims,
                                      place);
    } else {
      millrace::reduce(stream.get(), reduction.op, *input, outputs[0], dims, options, place);
    }
  });
  // It goes with what is recorded around it.
  submit(
      stream, kEnd, {}, KernelSize::few_numbers, [] {}, until_for_operators());
  return true;
}

}  // namespace millrace_torch
