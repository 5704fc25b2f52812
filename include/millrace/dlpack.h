// Tensors for other libraries of the process and from them, as DLPack structs (dmlc.github.io/dlpack).
#pragma once

#include <memory>
#include <string>
#include <utility>

#include <millrace/device.h>
#include <millrace/export.h>
#include <millrace/stream.h>
#include <millrace/tensor.h>

// <dlpack/dlpack.h> of DLPack 1.0 or later says what is in them; to pass them on it is not needed.
struct DLManagedTensor;
struct DLManagedTensorVersioned;

namespace millrace {

namespace detail {
struct DlpackImport;
}

/// A tensor over a buffer, which is the caller's until its deleter is called, once and on any thread; the
/// buffer, moved into it, ends then. Until then the device stays open, unless Device::close is called: that
/// takes the memory away, and only the deleter may be called after it. Memory of "host:N" is kDLCPU, that of
/// "cuda:N" kDLCUDA with the same number.
///
/// It orders nothing. What writes the tensor has to be done before the consumer's work, for a consumer on the
/// host by Event::wait, for one on the device by an event that its stream waits for. The deleter frees as
/// ~Buffer does: after what is recorded on the buffer's own stream and on those named by
/// Device::record_stream.
///
/// Throws InvalidArgument for a view that is no tensor or not within the buffer, Closed, ForkedProcess; the
/// buffer is the caller's still.
MILLRACE_API DLManagedTensorVersioned* to_dlpack(Buffer&& buffer, const TensorView& view,
                                                 AccessMode allowed = AccessMode::write);
/// The same over memory of a device that the owner keeps: for several tensors over one buffer, and for memory
/// that is no Buffer's. The deleter drops the owner.
MILLRACE_API DLManagedTensorVersioned* to_dlpack(const Device& device, const TensorView& view,
                                                 std::shared_ptr<const void> owner,
                                                 AccessMode allowed = AccessMode::write);
/// As to_dlpack, in the struct from before DLPack 1.0, which can't say that a tensor is only to be read.
MILLRACE_API DLManagedTensor* to_dlpack_unversioned(Buffer&& buffer, const TensorView& view);
/// As to_dlpack with an owner, in that struct.
MILLRACE_API DLManagedTensor* to_dlpack_unversioned(const Device& device, const TensorView& view,
                                                    std::shared_ptr<const void> owner);

/// A tensor of another library, kept alive: copies share it, and the last one calls its deleter.
///
/// Work that is recorded on its view needs it until it is done; a completed handler that captures a copy sees
/// to that. Nothing orders that work after what the other library has queued: that is for whoever asked it
/// for the tensor.
///
/// Thread safety: as std::shared_ptr.
class MILLRACE_API DlpackTensor {
 public:
  /// Empty; there is nothing to ask it but valid.
  DlpackTensor() = default;

  bool valid() const noexcept { return state_ != nullptr; }
  /// Its elements. Not to be written if read_only.
  const TensorView& view() const noexcept;
  /// The name of a device whose work may touch it: "host:0", also for page-locked memory, or "cuda:N".
  const std::string& device() const noexcept;
  /// False where the struct can't say so.
  bool read_only() const noexcept;
  /// Lets go of it now.
  void reset() noexcept { state_.reset(); }

 private:
  friend struct detail::DlpackImport;
  struct State;
  explicit DlpackTensor(std::shared_ptr<const State> state) noexcept : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

/// Takes over a tensor. Throws, and then it is the caller's still: InvalidArgument for a struct that is no
/// tensor, has more than kMaxDims dimensions or elements that are not aligned to their size; Unsupported for
/// another major version than 1 (nothing but its deleter may be used then), an element type that is no DType,
/// or the memory of something else than the host and CUDA devices.
MILLRACE_API DlpackTensor from_dlpack(DLManagedTensorVersioned* tensor);
/// The same, of the struct from before DLPack 1.0.
MILLRACE_API DlpackTensor from_dlpack(DLManagedTensor* tensor);

}  // namespace millrace
