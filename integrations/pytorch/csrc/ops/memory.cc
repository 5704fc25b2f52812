// Operators that make tensors and views, and run nothing.
#include <ATen/EmptyTensor.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_as_complex_native.h>
#include <ATen/ops/view_as_real_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/DeviceGuard.h>
#include <torch/library.h>

#include "device/allocator.h"
#include "device/in_operator.h"
#include "device/devices.h"
#include "device/streams.h"

namespace millrace_torch {
namespace {

c10::Device device_or_current(std::optional<c10::Device> device) {
  if (!device || !device->has_index()) return {kMillrace, current_device()};
  TORCH_CHECK(device->type() == kMillrace, "a tensor of millrace was to be made on ", *device);
  return *device;
}

void check_options(std::optional<c10::Layout> layout, std::optional<bool> pinned) {
  TORCH_CHECK(layout.value_or(c10::Layout::Strided) == c10::Layout::Strided,
              "millrace has strided tensors only, and ", layout.value_or(c10::Layout::Strided),
              " was asked for");
  TORCH_CHECK(!pinned.value_or(false), "Only dense CPU tensors can be pinned");
}

at::Tensor empty(c10::IntArrayRef size, std::optional<c10::ScalarType> dtype,
                 std::optional<c10::Layout> layout, std::optional<c10::Device> device,
                 std::optional<bool> pinned, std::optional<c10::MemoryFormat> format) {
  const InOperator in_operator;
  check_options(layout, pinned);
  const c10::DeviceGuard guard(device_or_current(device));
  return at::detail::empty_generic(size, &device_allocator(),
                                   c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                   c10::dtype_or_default(dtype), format);
}

at::Tensor empty_strided(c10::IntArrayRef size, c10::IntArrayRef stride, std::optional<c10::ScalarType> dtype,
                         std::optional<c10::Layout> layout, std::optional<c10::Device> device,
                         std::optional<bool> pinned) {
  const InOperator in_operator;
  check_options(layout, pinned);
  const c10::DeviceGuard guard(device_or_current(device));
  return at::detail::empty_strided_generic(size, stride, &device_allocator(),
                                           c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                           c10::dtype_or_default(dtype));
}

/// Memory for a tensor of these sizes from its offset on.
void reserve(const at::Tensor& self, c10::IntArrayRef size, c10::IntArrayRef stride) {
  const std::size_t bytes = at::detail::computeStorageNbytes(size, stride, self.element_size(),
                                                             static_cast<std::size_t>(self.storage_offset()));
  if (self.numel() != 0 && bytes > self.storage().nbytes()) resize_storage(self.storage(), bytes);
}

const at::Tensor& resize_(const at::Tensor& self, c10::IntArrayRef size,
                          std::optional<c10::MemoryFormat> format) {
  c10::TensorImpl* const impl = self.unsafeGetTensorImpl();
  if (self.sizes() != size) {
    impl->set_sizes_contiguous(size);
    reserve(self, self.sizes(), self.strides());
  }
  if (format && *format != c10::MemoryFormat::Preserve) {
    impl->empty_tensor_restride(*format);
    reserve(self, self.sizes(), self.strides());
  }
  return self;
}

at::Tensor& set_storage_offset(at::Tensor& self, at::Storage source, std::int64_t offset,
                               c10::IntArrayRef size, c10::IntArrayRef stride) {
  at::native::checkSetStorage(self, source, offset, size, stride);
  c10::TensorImpl* const impl = self.unsafeGetTensorImpl();
  impl->set_storage_offset(offset);
  if (stride.data() != nullptr) {
    impl->set_sizes_and_strides(size, stride);
  } else {
    impl->set_sizes_contiguous(size);
  }
  reserve(self, self.sizes(), self.strides());
  return self;
}

at::Tensor& set_to_storage(at::Tensor& self, at::Storage source) {
  const auto elements = static_cast<std::int64_t>(source.nbytes() / self.element_size());
  return set_storage_offset(self, std::move(source), 0, {elements}, {});
}

at::Tensor& set_to_nothing(at::Tensor& self) {
  const c10::DeviceGuard guard(self.device());
  c10::Storage none(c10::Storage::use_byte_size_t(), 0, device_allocator().allocate(0), &device_allocator(),
                    true);
  return set_storage_offset(self, std::move(none), 0, {0}, {});
}

void record_stream(at::Tensor& self, at::Stream stream) {
  device_allocator().recordStream(self.storage().data_ptr(), stream);
}

}  // namespace
}  // namespace millrace_torch

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace millrace_torch;
  library.impl("empty.memory_format", TORCH_FN(millrace_torch::empty));
  library.impl("empty_strided", TORCH_FN(millrace_torch::empty_strided));
  library.impl("as_strided", TORCH_FN(at::native::as_strided_tensorimpl));
  library.impl("view", TORCH_FN(at::native::view));
  library.impl("_reshape_alias", TORCH_FN(at::native::_reshape_alias));
  library.impl("unfold", TORCH_FN(at::native::unfold));
  library.impl("view_as_real", TORCH_FN(at::native::view_as_real));
  library.impl("view_as_complex", TORCH_FN(at::native::view_as_complex));
  library.impl("resize_", TORCH_FN(millrace_torch::resize_));
  library.impl("set_.source_Storage_storage_offset", TORCH_FN(millrace_torch::set_storage_offset));
  library.impl("set_.source_Storage", TORCH_FN(millrace_torch::set_to_storage));
  library.impl("set_.source_Tensor", TORCH_FN(at::native::set_tensor_));
  library.impl("set_", TORCH_FN(millrace_torch::set_to_nothing));
  library.impl("record_stream", TORCH_FN(millrace_torch::record_stream));
}
