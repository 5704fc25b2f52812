#include "ops/aliases.h"

#include <c10/core/Allocator.h>
#include <c10/core/TensorImpl.h>

#include <cstdlib>

#include "device/devices.h"

namespace millrace_torch {
namespace {

void keep(void*) {}

}  // namespace

bool is_ours(const at::Tensor& tensor) {
  return tensor.device().type() == kMillrace;
}

c10::Storage Aliases::storage_of(const c10::Storage& storage) {
  const c10::StorageImpl* const impl = storage.unsafeGetStorageImpl();
  for (const auto& [known, alias] : storages_) {
    if (known == impl) return alias;
  }
  const c10::Device device(of_ == Of::cpu ? c10::kCPU : c10::kMeta);
  void* const data = of_ == Of::cpu ? const_cast<void*>(storage.data()) : nullptr;
  // A meta kernel makes out= arguments fit; the memory of ours is made to before the CPU's kernel runs.
  const bool resizable = of_ == Of::meta;
  c10::Storage alias(c10::Storage::use_byte_size_t(), storage.nbytes(),
                     c10::DataPtr(data, data, &keep, device),
                     resizable ? c10::GetAllocator(c10::kMeta) : nullptr, resizable);
  storages_.emplace_back(impl, alias);
  return alias;
}

at::Tensor Aliases::of(const at::Tensor& tensor) {
  // Tensors of the CPU's that are beside ours are numbers. A meta kernel has no use for what is in them, but
  // where the caller wrote a number: that is handed to Python as one.
  const bool stays = of_ == Of::cpu || tensor.unsafeGetTensorImpl()->is_wrapped_number();
  if (!tensor.defined() || (!is_ours(tensor) && stays)) return tensor;
  const c10::TensorImpl* const from = tensor.unsafeGetTensorImpl();
  const auto key = of_ == Of::cpu ? c10::DispatchKey::CPU : c10::DispatchKey::Meta;
  at::Tensor alias = at::detail::make_tensor<c10::TensorImpl>(storage_of(tensor.storage()),
                                                              c10::DispatchKeySet(key), tensor.dtype());
  c10::TensorImpl* const to = alias.unsafeGetTensorImpl();
  to->set_sizes_and_strides(from->sizes(), from->strides(), from->storage_offset());
  if (from->is_wrapped_number()) to->set_wrapped_number(true);
  if (from->is_conj()) alias._set_conj(true);
  if (from->is_neg()) alias._set_neg(true);
  return alias;
}

c10::IValue Aliases::of(const c10::IValue& value) {
  if (value.isTensor()) return of(value.toTensor());
  if (value.isTensorList()) {
    c10::List<at::Tensor> list;
    for (const at::Tensor& tensor : value.toTensorList()) list.push_back(of(tensor));
    return list;
  }
  if (value.isList()) {
    const c10::List<c10::IValue> from = value.toList();
    if (from.elementType()->kind() != c10::TypeKind::OptionalType) return value;
    c10::List<std::optional<at::Tensor>> list;
    for (const c10::IValue& item : value.toListRef()) {
      if (item.isNone()) {
        list.push_back(std::nullopt);
      } else if (item.isTensor()) {
        list.push_back(of(item.toTensor()));
      } else {
        return value;
      }
    }
    return list;
  }
  return value;
}

millrace::Use use_of(const at::Tensor& tensor, millrace::AccessMode mode) {
  if (tensor.numel() == 0) return {};
  std::int64_t first = 0, last = 0;
  for (std::int64_t i = 0; i < tensor.dim(); ++i) {
    const std::int64_t reach = (tensor.size(i) - 1) * tensor.stride(i);
    (reach < 0 ? first : last) += reach;
  }
  const auto element = static_cast<std::int64_t>(tensor.element_size());
  auto* const begin =
      static_cast<const char*>(tensor.storage().data()) + (tensor.storage_offset() + first) * element;
  return {begin, static_cast<std::size_t>((last - first + 1) * element), mode};
}

}  // namespace millrace_torch
