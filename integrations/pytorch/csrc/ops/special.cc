// Operators that torch has no kernel of the CPU's for under the name that it asks a device like ours for.
#include <ATen/TensorOperators.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/native/DispatchStub.h>
#include <ATen/native/transformers/attention.h>
#include <ATen/ops/_fused_sdp_choice_native.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/zeros_like.h>
#include <torch/library.h>

#include <optional>
#include <tuple>
#include <vector>

#include "ops/run.h"

namespace millrace_torch {
namespace {

void convolution(const c10::OperatorHandle&, torch::jit::Stack* stack) {
  static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("aten::convolution", "");
  run_operator_as(op, stack);
}

/// torch's own takes the sizes of the bias too.
void convolution_backward(const c10::OperatorHandle&, torch::jit::Stack* stack) {
  static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("aten::convolution_backward", "");
  constexpr std::size_t kArguments = 10, kWeight = 2, kTransposed = 6, kGroups = 8;
  const auto arguments = torch::jit::last(*stack, kArguments);
  const at::Tensor& weight = arguments[kWeight].toTensor();
  const std::int64_t features =
      arguments[kTransposed].toBool() ? weight.size(1) * arguments[kGroups].toInt() : weight.size(0);
  stack->insert(stack->end() - static_cast<std::ptrdiff_t>(kArguments - kWeight - 1),
                c10::IValue(std::vector<std::int64_t>{features}));
  run_operator_as(op, stack);
}

/// torch's own has an out= argument of no strides yet, and a meta kernel that does not take over the input's.
at::Tensor abs(const at::Tensor& self) {
  at::Tensor result = at::empty_like(self, self.options().dtype(c10::toRealValueType(self.scalar_type())));
  return at::abs_out(result, self);
}

/// No: so that torch's encoder stays with strided tensors where it has a mask of what is padding.
bool may_become_nested(const at::Tensor&, const at::Tensor&) {
  return false;
}

at::Tensor nested_tensor_from_mask(const at::Tensor&, const at::Tensor&, bool) {
  TORCH_CHECK_NOT_IMPLEMENTED(false, "millrace has strided tensors only, and a nested one was asked for; a "
                              "TransformerEncoder makes none with enable_nested_tensor=False");
}

std::tuple<at::Tensor, at::Tensor> native_dropout(const at::Tensor& input, double p,
                                                  std::optional<bool> train) {
  if (input.numel() == 0 || (train && !*train)) {
    return {input.clone(), at::empty_like(input, input.options().dtype(c10::kBool)).fill_(true)};
  }
  at::Tensor mask = at::empty_like(input, input.options().dtype(c10::kBool));
  mask.bernoulli_(1 - p);
  return {input.mul(mask).mul_(p == 1 ? 0.0 : 1 / (1 - p)), mask};
}

at::Tensor with_bias(const at::Tensor& gates, const std::optional<at::Tensor>& bias) {
  return bias && bias->defined() ? gates + *bias : gates;
}

/// hy, cy, and the gates for the way back.
std::tuple<at::Tensor, at::Tensor, at::Tensor> lstm_cell(const at::Tensor& input_gates,
                                                         const at::Tensor& hidden_gates, const at::Tensor& cx,
                                                         const std::optional<at::Tensor>& input_bias,
                                                         const std::optional<at::Tensor>& hidden_bias) {
  const auto gates = (with_bias(input_gates, input_bias) + with_bias(hidden_gates, hidden_bias)).chunk(4, 1);
  const at::Tensor in = at::sigmoid(gates[0]), forget = at::sigmoid(gates[1]), cell = at::tanh(gates[2]),
                   out = at::sigmoid(gates[3]);
  at::Tensor cy = forget * cx + in * cell;
  at::Tensor hy = out * at::tanh(cy);
  return {hy, cy, at::cat({in, forget, cell, out}, 1)};
}

/// Of the gates, of cx, of the bias.
std::tuple<at::Tensor, at::Tensor, at::Tensor> lstm_cell_backward(const std::optional<at::Tensor>& grad_hy,
                                                                  const std::optional<at::Tensor>& grad_cy,
                                                                  const at::Tensor& cx, const at::Tensor& cy,
                                                                  const at::Tensor& workspace,
                                                                  bool has_bias) {
  const auto is_given = [](const std::optional<at::Tensor>& gradient) {
    return gradient && gradient->defined();
  };
  if (!is_given(grad_hy) && !is_given(grad_cy)) return {};
  const auto gates = workspace.chunk(4, 1);
  const at::Tensor &in = gates[0], &forget = gates[1], &cell = gates[2], &out = gates[3];
  const at::Tensor gh = is_given(grad_hy) ? *grad_hy : at::zeros_like(cx);
  const at::Tensor gc = is_given(grad_cy) ? *grad_cy : at::zeros_like(cx);
  const at::Tensor squashed = at::tanh(cy);
  const at::Tensor of_cy = gc + gh * out * (1 - squashed * squashed);
  const at::Tensor of_gates = at::cat({of_cy * cell * in * (1 - in), of_cy * cx * forget * (1 - forget),
                                       of_cy * in * (1 - cell * cell), gh * squashed * out * (1 - out)},
                                      1);
  return {of_gates, of_cy * forget, has_bias ? of_gates.sum(0) : at::Tensor()};
}

/// hy, and what the way back needs: the three gates, hx, and the new gate's hidden part.
std::tuple<at::Tensor, at::Tensor> gru_cell(const at::Tensor& input_gates, const at::Tensor& hidden_gates,
                                            const at::Tensor& hx, const std::optional<at::Tensor>& input_bias,
                                            const std::optional<at::Tensor>& hidden_bias) {
  const auto in = with_bias(input_gates, input_bias).chunk(3, 1);
  const auto hidden = with_bias(hidden_gates, hidden_bias).chunk(3, 1);
  const at::Tensor reset = at::sigmoid(in[0] + hidden[0]), update = at::sigmoid(in[1] + hidden[1]);
  const at::Tensor fresh = at::tanh(in[2] + reset * hidden[2]);
  return {fresh + update * (hx - fresh), at::cat({reset, update, fresh, hx, hidden[2]}, 1)};
}

/// Of the input's gates, of the hidden ones, of hx, of both biases.
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor> gru_cell_backward(
    const at::Tensor& grad_hy, const at::Tensor& workspace, bool has_bias) {
  const auto kept = workspace.chunk(5, 1);
  const at::Tensor &reset = kept[0], &update = kept[1], &fresh = kept[2], &hx = kept[3], &hidden = kept[4];
  const at::Tensor of_fresh = grad_hy * (1 - update) * (1 - fresh * fresh);
  const at::Tensor of_update = grad_hy * (hx - fresh) * update * (1 - update);
  const at::Tensor of_reset = of_fresh * hidden * reset * (1 - reset);
  const at::Tensor of_input = at::cat({of_reset, of_update, of_fresh}, 1);
  const at::Tensor of_hidden = at::cat({of_reset, of_update, of_fresh * reset}, 1);
  return {of_input, of_hidden, grad_hy * update, has_bias ? of_input.sum(0) : at::Tensor(),
          has_bias ? of_hidden.sum(0) : at::Tensor()};
}

}  // namespace
}  // namespace millrace_torch

// Which attention is used is the CPU's choice, since its kernel runs.
namespace at::native {
REGISTER_PRIVATEUSE1_DISPATCH(_fused_sdp_choice_stub, &_fused_sdp_choice_cpp)
}  // namespace at::native

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  // torch would make these of many operators for a device that has none of its own.
  for (const char* const name : {"native_layer_norm", "native_group_norm", "all.dims_out", "any.dims_out"})
    library.impl(name, torch::CppFunction::makeFromBoxedFunction<&millrace_torch::run_operator>());
  using torch::CppFunction;
  library.impl("convolution_overrideable",
               CppFunction::makeFromBoxedFunction<&millrace_torch::convolution>());
  library.impl("convolution_backward_overrideable",
               CppFunction::makeFromBoxedFunction<&millrace_torch::convolution_backward>());
  library.impl("abs", TORCH_FN(millrace_torch::abs));
  library.impl("_nested_tensor_from_mask_left_aligned", TORCH_FN(millrace_torch::may_become_nested));
  library.impl("_nested_tensor_from_mask", TORCH_FN(millrace_torch::nested_tensor_from_mask));
  library.impl("native_dropout", TORCH_FN(millrace_torch::native_dropout));
  library.impl("_thnn_fused_lstm_cell", TORCH_FN(millrace_torch::lstm_cell));
  library.impl("_thnn_fused_lstm_cell_backward_impl", TORCH_FN(millrace_torch::lstm_cell_backward));
  library.impl("_thnn_fused_gru_cell", TORCH_FN(millrace_torch::gru_cell));
  library.impl("_thnn_fused_gru_cell_backward", TORCH_FN(millrace_torch::gru_cell_backward));
}
