#include "ops/shapes.h"

#include <ATen/OpMathType.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <c10/util/strides.h>
#include <torch/csrc/Exceptions.h>
#include <torch/csrc/utils/pybind.h>

#include <array>
#include <cstring>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>

#include "ops/aliases.h"
#include "ops/names.h"

namespace millrace_torch {
namespace {

// A model's operators are a few hundred; what makes more is shapes that never come again.
constexpr std::size_t kMostRemembered = 4096;
constexpr std::size_t kMostRememberedByAll = std::size_t{1} << 16;

using Remembered = std::unordered_map<std::string, std::shared_ptr<const Shapes>>;

/// What any thread has asked for.
///
/// Thread safety: any thread.
class RememberedByAll {
 public:
  /// False where nobody has asked; what was said may be null.
  bool find(const std::string& key, std::shared_ptr<const Shapes>& shapes) {
    const std::shared_lock lock(mutex_);
    const auto found = all_.find(key);
    if (found == all_.end()) return false;
    shapes = found->second;
    return true;
  }
  void add(const std::string& key, std::shared_ptr<const Shapes> shapes) {
    const std::lock_guard lock(mutex_);
    if (all_.size() >= kMostRememberedByAll) all_.clear();
    all_.try_emplace(key, std::move(shapes));
  }

 private:
  std::shared_mutex mutex_;
  Remembered all_;  // protected by mutex_
};

RememberedByAll& remembered_by_all() {
  static auto* const all = new RememberedByAll;
  return *all;
}

/// All that the results' shapes depend on, as bytes.
class Key {
 public:
  Key(const OperatorInfo& info, std::span<const c10::IValue> arguments) : with_offsets_(info.is_view) {
    bytes_.reserve(256);
    put(&info);
    put(c10::get_default_dtype_as_scalartype());
    for (const c10::IValue& argument : arguments) add(argument);
  }
  bool complete() const { return complete_; }
  std::string& bytes() { return bytes_; }

 private:
  template <typename T>
  void put(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  template <typename T>
  void put_all(c10::ArrayRef<T> values) {
    put(values.size());
    bytes_.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
  }
  void add(const at::Tensor& tensor) {
    if (!tensor.defined()) return put('u');
    put('t');
    put(tensor.scalar_type());
    put(tensor.device().type());
    put_all(tensor.sizes());
    put_all(tensor.strides());
    put(tensor.unsafeGetTensorImpl()->is_wrapped_number());
    if (with_offsets_) put(tensor.storage_offset());
  }
  void add(const c10::IValue& value) {
    if (value.isTensor()) return add(value.toTensor());
    put(static_cast<char>('A' + (value.isNone()     ? 0
                                 : value.isInt()    ? 1
                                 : value.isDouble() ? 2
                                 : value.isBool()   ? 3
                                                    : 4)));
    if (value.isNone()) return;
    if (value.isInt()) return put(value.toInt());
    if (value.isDouble()) return put(value.toDouble());
    if (value.isBool()) return put(value.toBool());
    if (value.isDevice() || value.isGenerator()) return;
    if (value.isComplexDouble()) return put(value.toComplexDouble());
    if (value.isString()) {
      const std::string& text = value.toStringRef();
      put(text.size());
      bytes_ += text;
      return;
    }
    if (value.isList()) {
      const auto items = value.toListRef();
      put(items.size());
      for (const c10::IValue& item : items) add(item);
      return;
    }
    complete_ = false;
  }

  const bool with_offsets_;
  bool complete_ = true;
  std::string bytes_;
};

Shape shape_of(const at::Tensor& tensor) {
  if (!tensor.defined()) return {};
  return {true, at::DimVector(tensor.sizes()), at::DimVector(tensor.strides()), tensor.storage_offset(),
          tensor.scalar_type()};
}

bool is_not_implemented(python_error& error) {
  const pybind11::gil_scoped_acquire lock;
  error.restore();
  const bool is = PyErr_ExceptionMatches(PyExc_NotImplementedError) != 0;
  if (is) {
    PyErr_Clear();
  } else {
    error.persist();
  }
  return is;
}

void as_empty(Shape& shape) {
  shape.sizes.assign(1, 0);
  shape.strides.assign(1, 1);
}

/// Batch norm that does not train keeps no mean and no deviation.
void forget_statistics(Shapes& shapes) {
  for (std::size_t i = 1; i < 3; ++i) {
    if (i < shapes.returns.size()) {
      for (Shape& shape : shapes.returns[i]) as_empty(shape);
    }
    if (i < shapes.outs.size()) as_empty(shapes.outs[i]);
  }
}

/// The CPU's statistics are of the input's type, or float where the first of weight, bias and running
/// statistics that there is has another.
void set_type_of_statistics(std::span<const c10::IValue> arguments, Shapes& shapes) {
  c10::ScalarType type = arguments[0].toTensor().scalar_type();
  for (std::size_t i = 1; i < 5; ++i) {
    if (!arguments[i].isTensor() || !arguments[i].toTensor().defined()) continue;
    if (arguments[i].toTensor().scalar_type() != type) type = c10::kFloat;
    break;
  }
  for (std::size_t i = 1; i < 3 && i < shapes.returns.size(); ++i) {
    for (Shape& shape : shapes.returns[i]) shape.dtype = type;
  }
}

/// Where the CPU's results differ from what the meta kernel says.
void as_on_cpu(const OperatorInfo& info, std::span<const c10::IValue> arguments, Shapes& shapes) {
  // The CPU's logarithms of sums are of the type that it adds up in, the meta kernel's of float32 always.
  if (info.name == "aten::_scaled_dot_product_flash_attention_for_cpu")
    shapes.returns[1][0].dtype = at::toOpMathType(shapes.returns[0][0].dtype);
  const auto is = [&](const char* name) { return info.name.rfind(name, 0) == 0; };
  if (info.name.find("backward") != std::string::npos) return;
  if (is("aten::native_batch_norm") || is("aten::_native_batch_norm_legit") ||
      is("aten::_batch_norm_with_update")) {
    set_type_of_statistics(arguments, shapes);
    if (info.trains && !arguments[*info.trains].toBool()) forget_statistics(shapes);
    return;
  }
  if (!is("aten::native_layer_norm") && !is("aten::native_group_norm")) return;
  // Statistics are of the weight's type, and not always float.
  const at::Tensor& input = arguments[0].toTensor();
  const c10::IValue& weight = arguments[is("aten::native_layer_norm") ? 2 : 1];
  const bool has_weight = weight.isTensor() && weight.toTensor().defined();
  const c10::ScalarType type = has_weight ? weight.toTensor().scalar_type() : input.scalar_type();
  for (std::size_t i = 1; i < shapes.returns.size(); ++i) {
    for (Shape& shape : shapes.returns[i]) shape.dtype = type;
  }
}

/// Of a new tensor of the same sizes and type.
Shape contiguous_as(const at::Tensor& tensor) {
  Shape shape = shape_of(tensor);
  shape.strides = c10::contiguous_strides(tensor.sizes());
  shape.storage_offset = 0;
  return shape;
}

/// Of operators that have no meta kernel though their result is like their first argument; else null.
std::shared_ptr<const Shapes> like_first(const OperatorInfo& info, std::span<const c10::IValue> arguments) {
  if (info.name != "aten::_transformer_encoder_layer_fwd") return nullptr;
  const at::Tensor& first = arguments[0].toTensor();
  const std::int64_t width = arguments[1].toInt();
  TORCH_CHECK(first.dim() == 3 && first.size(2) == width, "a transformer layer of width ", width,
              " expected a batch of sequences of that width, and got a tensor of sizes ", first.sizes());
  auto shapes = std::make_shared<Shapes>();
  shapes->returns.push_back({contiguous_as(first)});
  return shapes;
}

/// index_add and index_reduce with no indices: their meta kernel looks at what the first of them would add.
std::shared_ptr<const Shapes> of_no_indices(const OperatorInfo& info,
                                            std::span<const c10::IValue> arguments) {
  constexpr std::size_t kIndex = 2;
  if (info.name.rfind("aten::index_add", 0) != 0 && info.name.rfind("aten::index_reduce", 0) != 0)
    return nullptr;
  if (arguments[kIndex].toTensor().numel() != 0) return nullptr;
  const Shape same = contiguous_as(arguments[0].toTensor());
  auto shapes = std::make_shared<Shapes>();
  shapes->returns.push_back({same});
  shapes->outs.assign(info.out_arguments.size(), same);
  return shapes;
}

/// all and any write to bool and to uint8, whatever they read. Their meta kernel takes others too, and not
/// all of those: it gets one of the type that it wants.
void choose_out_of_truths(const OperatorInfo& info, std::span<const c10::IValue> arguments,
                          torch::jit::Stack& stack) {
  static constexpr std::array<std::string_view, 6> kTruths{"aten::all.out",      "aten::all.dims_out",
                                                           "aten::all.all_out",  "aten::any.out",
                                                           "aten::any.dims_out", "aten::any.all_out"};
  if (!is_among(kTruths, info.name)) return;
  c10::IValue& out = stack[info.out_arguments[0]];
  const c10::ScalarType type = out.toTensor().scalar_type();
  TORCH_CHECK(type == c10::kBool || type == c10::kByte,
              info.name.substr(sizeof "aten::" - 1, sizeof "all" - 1),
              " only supports bool tensor for result, got: ", type);
  const bool of_bytes = arguments[0].toTensor().scalar_type() == c10::kByte;
  out = at::empty({0}, at::TensorOptions().device(c10::kMeta).dtype(of_bytes ? c10::kByte : c10::kBool));
}

/// The first `count` arguments as a meta kernel gets them.
torch::jit::Stack arguments_of_meta(const OperatorInfo& info, std::span<const c10::IValue> arguments,
                                    std::size_t count, Aliases& meta) {
  torch::jit::Stack stack;
  stack.reserve(arguments.size());
  for (std::size_t i = 0; i < count; ++i) {
    if (info.generator == i) {
      stack.emplace_back();
    } else if (info.device == i && !arguments[i].isNone()) {
      stack.emplace_back(c10::Device(c10::kMeta));
    } else {
      stack.push_back(meta.of(arguments[i]));
    }
  }
  return stack;
}

/// False where there is no meta kernel.
bool call_meta(const c10::OperatorHandle& op, torch::jit::Stack& stack) {
  try {
    const at::AutoDispatchBelowADInplaceOrView below;
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    op.callBoxed(stack);
    return true;
  } catch (const c10::NotImplementedError&) {
    return false;
  } catch (python_error& error) {
    if (!is_not_implemented(error)) throw;
    return false;
  }
}

/// What is resized gets the strides that a new result has, which meta kernels that write to out= forget.
void stride_as_new(const OperatorInfo& info, std::span<const c10::IValue> arguments, Shapes& shapes) {
  bool resized = false;
  for (std::size_t i = 0; i < shapes.outs.size(); ++i) {
    const at::Tensor& out = arguments[info.out_arguments[i]].toTensor();
    resized = resized || (out.defined() && out.sizes() != c10::IntArrayRef(shapes.outs[i].sizes));
  }
  if (!resized || !info.functional) return;
  Aliases meta(Aliases::Of::meta);
  torch::jit::Stack stack = arguments_of_meta(info, arguments, arguments.size() - shapes.outs.size(), meta);
  if (!call_meta(*info.functional, stack)) return;
  for (std::size_t i = 0; i < shapes.outs.size(); ++i) {
    const at::Tensor& result = stack[i].toTensor();
    Shape& out = shapes.outs[i];
    if (result.defined() && result.sizes() == c10::IntArrayRef(out.sizes))
      out.strides = at::DimVector(result.strides());
  }
}

std::shared_ptr<const Shapes> ask(const c10::OperatorHandle& op, const OperatorInfo& info,
                                  std::span<const c10::IValue> arguments) {
  if (auto shapes = like_first(info, arguments)) return shapes;
  if (auto shapes = of_no_indices(info, arguments)) return shapes;
  Aliases meta(Aliases::Of::meta);
  torch::jit::Stack stack = arguments_of_meta(info, arguments, arguments.size(), meta);
  choose_out_of_truths(info, arguments, stack);
  auto shapes = std::make_shared<Shapes>();
  std::vector<at::Tensor> outs;  // owners besides the stack, as in run.cc
  for (const std::size_t out : info.out_arguments) outs.push_back(stack[out].toTensor());
  if (!call_meta(op, stack)) return nullptr;
  for (const c10::IValue& result : stack) {
    std::vector<Shape>& of_result = shapes->returns.emplace_back();
    if (result.isTensor()) {
      of_result.push_back(shape_of(result.toTensor()));
    } else if (result.isTensorList()) {
      for (const at::Tensor& tensor : result.toTensorList()) of_result.push_back(shape_of(tensor));
    }
  }
  for (const at::Tensor& out : outs) shapes->outs.push_back(shape_of(out));
  stride_as_new(info, arguments, *shapes);
  as_on_cpu(info, arguments, *shapes);
  return shapes;
}

}  // namespace

std::shared_ptr<const Shapes> infer(const c10::OperatorHandle& op, const OperatorInfo& info,
                                    std::span<const c10::IValue> arguments) {
  static thread_local Remembered remembered;
  Key key(info, arguments);
  if (!key.complete()) return ask(op, info, arguments);
  const auto found = remembered.find(key.bytes());
  if (found != remembered.end()) return found->second;
  std::shared_ptr<const Shapes> shapes;
  if (!remembered_by_all().find(key.bytes(), shapes)) {
    shapes = ask(op, info, arguments);
    remembered_by_all().add(key.bytes(), shapes);
  }
  if (remembered.size() >= kMostRemembered) remembered.clear();
  remembered.emplace(std::move(key.bytes()), shapes);
  return shapes;
}

}  // namespace millrace_torch
