#include "ops/run.h"

#include <ATen/Context.h>
#include <ATen/EmptyTensor.h>
#include <ATen/MemoryOverlap.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/clone.h>
#include <ATen/ops/empty.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/library.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "device/devices.h"
#include "device/generator.h"
#include "device/in_operator.h"
#include "device/streams.h"
#include "ops/aliases.h"
#include "ops/call.h"
#include "ops/copy.h"
#include "ops/kernel_scope.h"
#include "ops/operator_info.h"
#include "ops/shapes.h"

namespace millrace_torch {
namespace {

using Result = OperatorInfo::Result;

/// One call of an operator.
class Operator {
 public:
  Operator(const c10::OperatorHandle& op, torch::jit::Stack* stack)
      : op_(op),
        info_(info_of(op)),
        stack_(*stack),
        arguments_(torch::jit::last(stack_, info_.arguments).vec()) {
    find_device();
    take_arguments();
  }

  void run() {
    const c10::OptionalDeviceGuard guard(c10::Device(kMillrace, device_));
    if (info_.waits || selects_by_mask()) return run_waiting();
    if (info_.meta_alerts && at::globalContext().deterministicAlgorithms()) return run_waiting();
    const std::shared_ptr<const Shapes> shapes = infer(op_, info_, arguments_);
    if (shapes == nullptr && needs_shapes()) return run_waiting();
    if (shapes != nullptr) resize_outs(shapes->outs);
    std::vector<c10::IValue> results = make_results(shapes.get());
    if (!info_.is_view) record(results);
    give(std::move(results));
  }

 private:
  bool needs_shapes() const {
    if (!info_.out_arguments.empty()) return true;
    for (const auto& result : info_.returns) {
      if (result.kind != Result::argument) return true;
    }
    return false;
  }

  /// Indexing by a mask has a result whose size is in the mask.
  bool selects_by_mask() const {
    if (!info_.indexes || !needs_shapes()) return false;
    bool found = false;
    for_each_tensor(arguments_[1], [&](const at::Tensor& index) {
      found = found || index.scalar_type() == c10::kBool || index.scalar_type() == c10::kByte;
    });
    return found;
  }

  void find_device() {
    std::optional<c10::Device> found;
    for (const c10::IValue& argument : arguments_) {
      for_each_tensor(argument, [&](const at::Tensor& tensor) {
        if (!is_ours(tensor)) return;
        TORCH_CHECK(!found || *found == tensor.device(),
                    "Expected all tensors to be on the same device, but found at least two devices, ", *found,
                    " and ", tensor.device(), "! (when checking arguments of ", info_.name, ")");
        found = tensor.device();
      });
    }
    if (!found && info_.device && arguments_[*info_.device].isDevice())
      found = arguments_[*info_.device].toDevice();
    device_ = found && found->has_index() ? found->index() : current_device();
  }

  /// What the caller may change afterwards is copied: numbers that are tensors of the CPU's.
  void take_arguments() {
    for (std::size_t i = 0; i < arguments_.size(); ++i) {
      c10::IValue& argument = arguments_[i];
      if (argument.isTensor()) {
        if (argument.toTensor().defined()) argument = taken(argument.toTensor(), info_.written[i]);
      } else if (argument.isTensorList() || argument.isList()) {
        bool foreign = false;
        for_each_tensor(argument, [&](const at::Tensor& tensor) { foreign = foreign || !is_ours(tensor); });
        if (foreign) take_list(argument);
      }
    }
  }
  void take_list(c10::IValue& argument) {
    if (argument.isTensorList()) {
      c10::List<at::Tensor> list;
      for (const at::Tensor& tensor : argument.toTensorList())
        list.push_back(tensor.defined() ? taken(tensor) : tensor);
      argument = list;
      return;
    }
    c10::List<std::optional<at::Tensor>> list;
    for (const c10::IValue& item : argument.toListRef()) {
      if (item.isTensor() && item.toTensor().defined()) {
        list.push_back(taken(item.toTensor()));
      } else {
        list.push_back(std::nullopt);
      }
    }
    argument = list;
  }
  at::Tensor taken(const at::Tensor& tensor, bool written = false) {
    if (is_ours(tensor)) return tensor;
    if (!written && info_.indexes && tensor.is_cpu()) return tensor.to(c10::Device(kMillrace, device_));
    TORCH_CHECK(tensor.is_cpu() && tensor.dim() == 0 && !written,
                "Expected all tensors to be on the same device, but found at least two devices, millrace:",
                static_cast<int>(device_), " and ", tensor.device(), "! (when checking arguments of ",
                info_.name, ")");
    const at::AutoDispatchBelowADInplaceOrView below;
    at::Tensor copy = tensor.clone();
    if (tensor.unsafeGetTensorImpl()->is_wrapped_number())
      copy.unsafeGetTensorImpl()->set_wrapped_number(true);
    return copy;
  }

  /// Does what is written overlap itself, or what is read, other than element by element? Most kernels refuse
  /// that, and which ones do is theirs to know: their answer is waited for.
  bool writes_overlap() const {
    for (std::size_t i = 0; i < arguments_.size(); ++i) {
      if (!info_.written[i] || !arguments_[i].isTensor()) continue;
      const at::Tensor& out = arguments_[i].toTensor();
      if (!out.defined()) continue;
      if (at::has_internal_overlap(out) == at::MemOverlap::Yes) return true;
      bool found = false;
      for (std::size_t other = 0; other < arguments_.size(); ++other) {
        for_each_tensor(arguments_[other], [&](const at::Tensor& tensor) {
          const at::MemOverlapStatus status = at::get_overlap_status(out, tensor);
          found = found || status == at::MemOverlapStatus::Partial ||
                  (status == at::MemOverlapStatus::Full && other != i && !info_.pointwise);
        });
      }
      if (found) return true;
    }
    return false;
  }

  void resize_outs(const std::vector<Shape>& shapes) {
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      const at::Tensor& out = arguments_[info_.out_arguments[i]].toTensor();
      if (!out.defined() || !shapes[i].defined || out.sizes() == c10::IntArrayRef(shapes[i].sizes)) continue;
      at::native::resize_output(out, shapes[i].sizes);
      if (out.strides() != c10::IntArrayRef(shapes[i].strides))
        out.as_strided_(shapes[i].sizes, shapes[i].strides);
    }
  }

  at::Tensor make(const Shape& shape) const {
    if (!shape.defined) return {};
    const c10::DispatchKeySet keys(c10::DispatchKey::PrivateUse1);
    return at::detail::empty_strided_generic(shape.sizes, shape.strides, c10::GetAllocator(kMillrace), keys,
                                             shape.dtype);
  }
  at::Tensor make_view(const at::Tensor& of, const Shape& shape) const {
    if (!shape.defined) return {};
    at::Tensor view =
        at::detail::make_tensor<c10::TensorImpl>(c10::TensorImpl::VIEW, c10::Storage(of.storage()),
                                                 of.key_set(), c10::scalarTypeToTypeMeta(shape.dtype));
    view.unsafeGetTensorImpl()->set_sizes_and_strides(shape.sizes, shape.strides, shape.storage_offset);
    return view;
  }
  std::vector<c10::IValue> make_results(const Shapes* shapes) const {
    std::vector<c10::IValue> results;
    results.reserve(info_.returns.size());
    for (std::size_t i = 0; i < info_.returns.size(); ++i) {
      const auto& [kind, argument] = info_.returns[i];
      if (kind == Result::argument) {
        results.push_back(arguments_[argument]);
      } else if (kind == Result::view) {
        results.push_back(make_view(arguments_[argument].toTensor(), shapes->returns[i].at(0)));
      } else if (kind == Result::tensor) {
        results.push_back(make(shapes->returns[i].at(0)));
      } else {
        c10::List<at::Tensor> list;
        for (const Shape& shape : shapes->returns[i]) list.push_back(make(shape));
        results.push_back(list);
      }
    }
    return results;
  }

  /// The arguments as the CPU's kernel gets them.
  torch::jit::Stack arguments_of_cpu(Aliases& cpu) const {
    torch::jit::Stack stack;
    stack.reserve(arguments_.size() + info_.returns.size());
    for (std::size_t i = 0; i < arguments_.size(); ++i) {
      if (info_.generator == i) {
        stack.emplace_back(generator_for_operator(arguments_[i].toOptional<at::Generator>(), device_));
      } else if (info_.device == i && !arguments_[i].isNone()) {
        stack.emplace_back(c10::Device(c10::kCPU));
      } else {
        stack.push_back(cpu.of(arguments_[i]));
      }
    }
    return stack;
  }

  /// The kernel gets a copy of its arguments: the caller destroys them (OperatorStream::keep_ended), and where
  /// an operator returns several of them, torch takes for granted that they have owners besides the stack.
  void record(const std::vector<c10::IValue>& results) {
    const bool overlaps = writes_overlap();
    if (info_.reduction != nullptr && !overlaps && record_reduced(results)) return;
    Aliases cpu(Aliases::Of::cpu);
    torch::jit::Stack call = arguments_of_cpu(cpu);
    std::vector<at::Tensor> outputs;
    outputs.reserve(results.size());
    bool all_defined = true;
    for (std::size_t i = 0; i < results.size(); ++i) {
      if (info_.returns[i].kind == Result::argument) continue;
      for_each_tensor(results[i], [&](const at::Tensor& tensor) { outputs.push_back(cpu.of(tensor)); });
      all_defined = all_defined && results[i].isTensor() && results[i].toTensor().defined();
    }
    OperatorStream& stream = current_stream(device_);
    const std::vector<millrace::Use> uses = uses_of(results);
    const std::int64_t numbers = most_numbers(outputs);
    const KernelSize size = size_of(numbers, info_.many_numbers);
    const Until until = overlaps ? Until::done : until_for_operators();
    if (info_.out_variant && all_defined) {
      for (const at::Tensor& output : outputs) call.emplace_back(output);
      submit(
          stream, info_.name, uses, size,
          [op = *info_.out_variant, call = std::move(call)] {
            torch::jit::Stack stack = call;
            op.callBoxed(stack);
          },
          until);
      return;
    }
    submit(
        stream, info_.name, uses, size,
        [op = op_, call = std::move(call), outputs = std::move(outputs)] {
          torch::jit::Stack stack = call;
          op.callBoxed(stack);
          if (!outputs.empty()) copy_results(stack, outputs);
        },
        until);
  }

  bool record_reduced(const std::vector<c10::IValue>& results) {
    std::vector<at::Tensor> tensors;
    for (const c10::IValue& result : results) tensors.push_back(result.toTensor());
    return record_reduction(*info_.reduction, current_stream(device_), arguments_, tensors);
  }

  static void copy_results(const torch::jit::Stack& results, const std::vector<at::Tensor>& outputs) {
    std::size_t next = 0;
    for (const c10::IValue& result : results) {
      for_each_tensor(result, [&](const at::Tensor& tensor) {
        TORCH_CHECK(next < outputs.size(), "the operator has more results than its meta kernel says");
        const at::Tensor& output = outputs[next++];
        TORCH_CHECK(output.sizes() == tensor.sizes(), "the meta kernel says that the result has sizes ",
                    output.sizes(), ", and it has ", tensor.sizes());
        output.copy_(tensor);
      });
    }
  }

  /// Of any tensor that the operator reads or writes.
  std::int64_t most_numbers(const std::vector<at::Tensor>& outputs) const {
    std::int64_t most = 0;
    const auto count = [&](const at::Tensor& tensor) {
      if (tensor.defined()) most = std::max(most, tensor.numel());
    };
    for (const c10::IValue& argument : arguments_) for_each_tensor(argument, count);
    for (const at::Tensor& output : outputs) count(output);
    return most;
  }

  std::vector<millrace::Use> uses_of(const std::vector<c10::IValue>& results) const {
    std::vector<millrace::Use> uses;
    if (!configured_to_protect()) return uses;
    const auto add = [&](const c10::IValue& value, millrace::AccessMode mode) {
      for_each_tensor(value, [&](const at::Tensor& tensor) {
        if (is_ours(tensor) && tensor.numel() != 0) uses.push_back(use_of(tensor, mode));
      });
    };
    for (std::size_t i = 0; i < arguments_.size(); ++i)
      add(arguments_[i], info_.written[i] ? millrace::AccessMode::write : millrace::AccessMode::read);
    for (std::size_t i = 0; i < results.size(); ++i) {  // none yet where they are made when it has run
      if (info_.returns[i].kind != Result::argument) add(results[i], millrace::AccessMode::write);
    }
    return uses;
  }

  void run_waiting() {
    OperatorStream& stream = current_stream(device_);
    if (configured_to_protect()) submit(stream, info_.name, uses_of({}), KernelSize::few_numbers, [] {});
    stream.wait();
    Aliases cpu(Aliases::Of::cpu);
    torch::jit::Stack call = arguments_of_cpu(cpu);
    // They are resized by the kernel, which ours can't be there.
    std::vector<at::Tensor> outs;  // owners besides the stack, as in record
    for (const std::size_t out : info_.out_arguments) {
      outs.push_back(at::empty({0}, arguments_[out].toTensor().options().device(c10::kCPU)));
      call[out] = outs.back();
    }
    std::vector<c10::IValue> results;
    {
      const KernelScope scope;
      op_.callBoxed(call);
    }
    for (std::size_t i = 0; i < call.size(); ++i) {
      const auto& [kind, argument] = info_.returns[i];
      if (kind == Result::argument) {
        const at::Tensor& ours = arguments_[argument].toTensor();
        if (is_out(argument)) bring(call[i].toTensor(), ours);
        results.emplace_back(ours);
      } else if (kind == Result::view) {
        TORCH_CHECK(false, info_.name,
                    " shares memory with its argument, and has no meta kernel that says how");
      } else if (kind == Result::tensor) {
        results.emplace_back(brought(call[i].toTensor()));
      } else if (kind == Result::tensors) {
        c10::List<at::Tensor> list;
        for (const at::Tensor& tensor : call[i].toTensorList()) list.push_back(brought(tensor));
        results.emplace_back(list);
      } else {
        results.push_back(call[i]);
      }
    }
    give(std::move(results));
  }

  bool is_out(std::size_t argument) const {
    for (const std::size_t out : info_.out_arguments) {
      if (out == argument) return true;
    }
    return false;
  }
  at::Tensor brought(const at::Tensor& result) const {
    if (!result.defined()) return result;
    at::Tensor ours =
        make({true, at::DimVector(result.sizes()), at::DimVector(result.strides()), 0, result.scalar_type()});
    bring(result, ours);
    return ours;
  }
  /// On the stream: other threads may have put work on it since it was waited for, which may still read what the
  /// memory was before.
  void bring(const at::Tensor& result, const at::Tensor& ours) const {
    if (ours.sizes() != result.sizes()) at::native::resize_output(ours, result.sizes());
    if (ours.numel() != 0) record_copy(current_stream(device_), info_.name, result, ours);
  }

  void give(std::vector<c10::IValue> results) {
    torch::jit::drop(stack_, info_.arguments);
    for (c10::IValue& result : results) stack_.push_back(std::move(result));
  }

  const c10::OperatorHandle op_;
  const OperatorInfo& info_;
  torch::jit::Stack& stack_;
  std::vector<c10::IValue> arguments_;
  c10::DeviceIndex device_ = 0;
};

}  // namespace

void run_operator(const c10::OperatorHandle& op, c10::DispatchKeySet, torch::jit::Stack* stack) {
  run_operator_as(op, stack);
}

void run_operator_as(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const InOperator in_operator;
  Operator(op, stack).run();
}

}  // namespace millrace_torch

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&millrace_torch::run_operator>());
}
