// The same memory as another device's tensor: how an operator's arguments get to the kernels that run it.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>
#include <c10/util/SmallVector.h>
#include <millrace/stream.h>

#include <utility>

namespace millrace_torch {

/// Is it a tensor of ours?
bool is_ours(const at::Tensor& tensor);

/// Makes tensors of the CPU, or of meta with no memory, with the shapes and strides of ours. Those that share
/// a storage share one again.
///
/// Thread safety: one thread at a time.
class Aliases {
 public:
  enum class Of : std::uint8_t { cpu, meta };
  explicit Aliases(Of of) : of_(of) {}

  /// Not owning: the memory is kept by the order of the stream, as that of any operator's arguments.
  at::Tensor of(const at::Tensor& tensor);
  /// With every tensor in it replaced.
  c10::IValue of(const c10::IValue& value);

 private:
  c10::Storage storage_of(const c10::Storage& storage);

  const Of of_;
  c10::SmallVector<std::pair<const c10::StorageImpl*, c10::Storage>, 8> storages_;
};

/// Calls f with each tensor in the value that there is.
template <typename F>
void for_each_tensor(const c10::IValue& value, F&& f) {
  if (value.isTensor()) {
    if (value.toTensor().defined()) f(value.toTensor());
  } else if (value.isTensorList()) {
    for (const at::Tensor& tensor : value.toTensorList()) {
      if (tensor.defined()) f(tensor);
    }
  } else if (value.isList()) {
    for (const c10::IValue& item : value.toListRef()) for_each_tensor(item, f);
  }
}

/// The bytes of the device that the tensor reaches, to be declared.
millrace::Use use_of(const at::Tensor& tensor, millrace::AccessMode mode);

}  // namespace millrace_torch
