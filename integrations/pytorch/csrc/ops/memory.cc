// Operators that make tensors and views, and run nothing.
#include <ATen/Context.h>
#include <ATen/EmptyTensor.h>
#include <ATen/native/Resize.h>
#include <ATen/native/ResizeCommon.h>
#include <ATen/native/TensorFactories.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_as_complex_native.h>
#include <ATen/ops/view_as_real_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/DeviceGuard.h>
#include <c10/util/accumulate.h>
#include <c10/util/strides.h>
#include <torch/library.h>

#include "device/allocator.h"
#include "device/devices.h"
#include "device/in_operator.h"
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

/// torch.use_deterministic_algorithms: nobody sees what memory had in it before.
bool fills_new_memory() {
  return at::globalContext().deterministicAlgorithms() &&
         at::globalContext().deterministicFillUninitializedMemory();
}

at::Tensor filled_if_asked(at::Tensor tensor) {
  if (fills_new_memory()) at::native::fill_empty_deterministic_(tensor);
  return tensor;
}

at::Tensor empty(c10::IntArrayRef size, std::optional<c10::ScalarType> dtype,
                 std::optional<c10::Layout> layout, std::optional<c10::Device> device,
                 std::optional<bool> pinned, std::optional<c10::MemoryFormat> format) {
  const InOperator in_operator;
  check_options(layout, pinned);
  const c10::DeviceGuard guard(device_or_current(device));
  return filled_if_asked(at::detail::empty_generic(size, &device_allocator(),
                                                   c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                                   c10::dtype_or_default(dtype), format));
}

at::Tensor empty_strided(c10::IntArrayRef size, c10::IntArrayRef stride, std::optional<c10::ScalarType> dtype,
                         std::optional<c10::Layout> layout, std::optional<c10::Device> device,
                         std::optional<bool> pinned) {
  const InOperator in_operator;
  check_options(layout, pinned);
  const c10::DeviceGuard guard(device_or_current(device));
  return filled_if_asked(at::detail::empty_strided_generic(size, stride, &device_allocator(),
                                                           c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                                           c10::dtype_or_default(dtype)));
}

/// Memory for a tensor of these sizes, before it gets them: where there is none it stays as it is.
void reserve(const at::Tensor& self, c10::IntArrayRef size, c10::IntArrayRef stride, std::int64_t offset) {
  const std::size_t bytes =
      at::detail::computeStorageNbytes(size, stride, self.element_size(), static_cast<std::size_t>(offset));
  if (c10::multiply_integers(size) != 0 && bytes > self.storage().nbytes())
    resize_storage(self.storage(), bytes);
}

const at::Tensor& resize_(const at::Tensor& self, c10::IntArrayRef size,
                          std::optional<c10::MemoryFormat> format) {
  c10::TensorImpl* const impl = self.unsafeGetTensorImpl();
  const auto had = static_cast<std::int64_t>(self.storage().nbytes());
  if (self.sizes() != size) {
    reserve(self, size, c10::contiguous_strides(size), self.storage_offset());
    impl->set_sizes_contiguous(size);
  }
  // Takes as much in another order.
  if (format && *format != c10::MemoryFormat::Preserve) impl->empty_tensor_restride(*format);
  if (fills_new_memory()) at::native::fill_resize_deterministic_(self, had);
  return self;
}

at::Tensor& set_storage_offset(at::Tensor& self, at::Storage source, std::int64_t offset,
                               c10::IntArrayRef size, c10::IntArrayRef stride) {
  at::native::checkSetStorage(self, source, offset, size, stride);
  const c10::DimVector strides = stride.data() != nullptr ? c10::DimVector(stride) : c10::contiguous_strides(size);
  reserve(self, size, strides, offset);
  self.unsafeGetTensorImpl()->set_sizes_and_strides(size, strides, offset);
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
