#include "ops/shapes.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/Exceptions.h>
#include <torch/csrc/utils/pybind.h>

#include <cstring>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <type_traits>
#include <unordered_map>

#include "ops/aliases.h"

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

/// Where the CPU's results differ from what the meta kernel says.
void as_on_cpu(const OperatorInfo& info, std::span<const c10::IValue> arguments, Shapes& shapes) {
  const auto is = [&](const char* name) { return info.name.rfind(name, 0) == 0; };
  if (info.name.find("backward") != std::string::npos) return;
  if (is("aten::native_batch_norm") || is("aten::_native_batch_norm_legit")) {
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

std::shared_ptr<const Shapes> ask(const c10::OperatorHandle& op, const OperatorInfo& info,
                                  std::span<const c10::IValue> arguments) {
  Aliases meta(Aliases::Of::meta);
  torch::jit::Stack stack;
  stack.reserve(arguments.size());
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (info.generator == i) {
      stack.emplace_back();
    } else if (info.device == i && !arguments[i].isNone()) {
      stack.emplace_back(c10::Device(c10::kMeta));
    } else {
      stack.push_back(meta.of(arguments[i]));
    }
  }
  auto shapes = std::make_shared<Shapes>();
  std::vector<at::Tensor> outs;  // owners besides the stack, as in run.cc
  for (const std::size_t out : info.out_arguments) outs.push_back(stack[out].toTensor());
  try {
    const at::AutoDispatchBelowADInplaceOrView below;
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    op.callBoxed(stack);
  } catch (const c10::NotImplementedError&) {
    return nullptr;
  } catch (python_error& error) {
    if (!is_not_implemented(error)) throw;
    return nullptr;
  }
  for (const c10::IValue& result : stack) {
    std::vector<Shape>& of_result = shapes->returns.emplace_back();
    if (result.isTensor()) {
      of_result.push_back(shape_of(result.toTensor()));
    } else if (result.isTensorList()) {
      for (const at::Tensor& tensor : result.toTensorList()) of_result.push_back(shape_of(tensor));
    }
  }
  for (const at::Tensor& out : outs) shapes->outs.push_back(shape_of(out));
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
