// Memory for streams that others made: what the allocators of other libraries are built on.
#pragma once

#include <cstddef>
#include <memory>

#include <millrace/device.h>
#include <millrace/export.h>

namespace millrace {

/// Memory of a device for whoever has a stream of the driver's and none of ours: CCCL's memory resources
/// (millrace/cuda/resource.h), frameworks with allocators to be plugged in.
///
/// A stream is wrapped (Device::wrap) when it is first named here and stays so until it is forgotten, or this
/// ends: forget it before its owner destroys it, since the driver may crash on a handle that is nobody's.
/// Naming it again costs two calls of the driver's, and no lock and no line that other threads write, as long
/// as the thread has not named eight others since.
/// A stream that is being captured gets no memory, rule "captured-stream": the graph would use it after it
/// was freed and allocated again.
///
/// Thread safety: all members but the destructor from any thread at any time. Errors of allocate and
/// allocate_sync: those of Device::wrap and Device::allocate.
class MILLRACE_API NativeAllocator {
 public:
  /// Unsupported where DeviceInfo::driver_streams is false.
  explicit NativeAllocator(Device device);
  /// After the last work on memory from here was put on its stream.
  ~NativeAllocator();
  NativeAllocator(const NativeAllocator&) = delete;
  NativeAllocator& operator=(const NativeAllocator&) = delete;

  const Device& device() const noexcept;

  /// Memory for what is put on the stream from here on. CUDA: a cudaStream_t; null is the legacy default
  /// stream.
  void* allocate(void* native_stream, std::size_t bytes, std::size_t alignment = kDefaultAlignment);
  /// Frees after what is on the stream now, and on the one that it was allocated for. Null is ignored; so is
  /// everything once the device has closed. What is no allocation of the device, or is free already, ends the
  /// program with the error, which nobody could be thrown. While the stream is being captured its work before
  /// that is waited for once the capture has ended, if the stream was named here before by the same handle;
  /// otherwise nothing can be ordered after it, and the block stays allocated, as the stats show. What can't
  /// be wrapped for another reason is waited for, and so is a stream that the block is not of where the host
  /// has no memory to remember it.
  void deallocate(void* native_stream, void* address) noexcept;
  /// Memory for all streams and for none in particular, at once: waits until nothing else uses it. The first
  /// call leases a stream of the device's for that.
  void* allocate_sync(std::size_t bytes, std::size_t alignment = kDefaultAlignment);
  /// Nothing uses it any more. Otherwise as deallocate.
  void deallocate_sync(void* address) noexcept;

  /// Lets go of a stream, after the last work on memory that was allocated for it and before its owner
  /// destroys it, not while it is being captured. Nothing if it was not named here. Blocks as the end of a
  /// wrapped stream's lease does (Device::wrap).
  void forget(void* native_stream) noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace millrace
