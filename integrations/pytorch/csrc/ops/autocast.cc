// Mixed precision: the casts that torch makes on the CPU under autocast, for ours.
#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/library.h>

#include <array>
#include <string>
#include <string_view>

#include "device/devices.h"
#include "ops/names.h"

namespace millrace_torch {
namespace {

// What gains by a lower precision; of the rest that torch casts on the CPU, all but those that promote want
// f32.
constexpr std::array<std::string_view, 22> kLower{"aten::conv1d",
                                                  "aten::conv2d",
                                                  "aten::conv3d",
                                                  "aten::bmm",
                                                  "aten::mm",
                                                  "aten::linalg_vecdot",
                                                  "aten::baddbmm",
                                                  "aten::addmm",
                                                  "aten::addbmm",
                                                  "aten::linear",
                                                  "aten::_convolution",
                                                  "aten::matmul",
                                                  "aten::conv_tbc",
                                                  "aten::mkldnn_rnn_layer",
                                                  "aten::conv_transpose1d",
                                                  "aten::conv_transpose2d",
                                                  "aten::conv_transpose3d",
                                                  "aten::prelu",
                                                  "aten::scaled_dot_product_attention",
                                                  "aten::_native_multi_head_attention",
                                                  "aten::addmv",
                                                  "aten::mv"};
constexpr std::array<std::string_view, 3> kPromote{"aten::cat", "aten::stack", "aten::index_copy"};

/// Calls the operator with every tensor of ours in the type.
void call_in(const c10::OperatorHandle& op, torch::jit::Stack* stack, c10::ScalarType type) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::DispatchKey::AutocastPrivateUse1);
  const std::size_t count = op.schema().arguments().size();
  for (std::size_t i = stack->size() - count; i < stack->size(); ++i) {
    c10::IValue& argument = (*stack)[i];
    if (argument.isTensor()) {
      argument = at::autocast::cached_cast(type, argument.toTensor(), kMillrace);
    } else if (argument.isTensorList()) {
      argument = c10::IValue(at::autocast::cached_cast(type, argument.toTensorVector(), kMillrace));
    }
  }
  op.callBoxed(stack);
}

void lower(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  call_in(op, stack, at::autocast::get_autocast_dtype(kMillrace));
}

void full(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  call_in(op, stack, c10::kFloat);
}

/// The widest type among the arguments.
void promote(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  c10::ScalarType type = at::autocast::get_autocast_dtype(kMillrace);
  const std::size_t count = op.schema().arguments().size();
  for (std::size_t i = stack->size() - count; i < stack->size(); ++i) {
    const c10::IValue& argument = (*stack)[i];
    if (argument.isTensor()) {
      type = at::autocast::prioritize(type, argument.toTensor(), kMillrace);
    } else if (argument.isTensorList()) {
      type = at::autocast::prioritize(type, argument.toTensorVector(), kMillrace);
    }
  }
  call_in(op, stack, type);
}

}  // namespace
}  // namespace millrace_torch

TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFallthrough());
}

TORCH_LIBRARY_IMPL(aten, AutocastPrivateUse1, library) {
  using namespace millrace_torch;
  using torch::CppFunction;
  for (const c10::OperatorName& op :
       c10::Dispatcher::singleton().getRegistrationsForDispatchKey(c10::DispatchKey::AutocastCPU)) {
    const std::string name = op.overload_name.empty() ? op.name : op.name + "." + op.overload_name;
    if (is_among(kLower, op.name)) {
      library.impl(name.c_str(), CppFunction::makeFromBoxedFunction<&lower>());
    } else if (is_among(kPromote, op.name)) {
      library.impl(name.c_str(), CppFunction::makeFromBoxedFunction<&promote>());
    } else if (op.name.rfind("aten::", 0) == 0) {
      library.impl(name.c_str(), CppFunction::makeFromBoxedFunction<&full>());
    }
  }
}
