// torch's streams as Millrace's.
#pragma once

#include <c10/cuda/CUDAStream.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <unordered_map>

#include <millrace/device.h>
#include <millrace/native_allocator.h>

namespace millrace_torch {

/// A device's streams by their handles. Those that torch makes last as long as the process, so each is
/// wrapped when it is first named and known by its handle from then on: neither a lock nor the driver is
/// asked again, by a thread that has not named four others since. Others' may be destroyed, and their handles
/// be other streams' later, so the driver is asked for their number each time.
///
/// Thread safety: all members from any thread at any time.
class TorchStreams {
 public:
  explicit TorchStreams(millrace::Device& device);
  TorchStreams(const TorchStreams&) = delete;
  TorchStreams& operator=(const TorchStreams&) = delete;

  /// Did torch make it, or is it the default stream?
  static bool is_torchs(c10::StreamId id) noexcept { return id == 0 || (id & 1) != 0; }
  /// One of torch's. Throws as millrace::Device::wrap.
  millrace::Stream of(cudaStream_t stream) {
    for (const Named& named : named_) {
      // acquire: pairs with the release in forget, so that a thread that goes on after it looks the handle up
      // anew.
      if (named.stream == stream && named.serial == serial_ &&
          named.epoch == epoch_.load(std::memory_order_acquire)) [[likely]] {
        return named.wrapped;
      }
    }
    return look_up(stream);
  }
  /// Anybody's. Throws as millrace::Device::wrap; while it is being captured it is what it was named as
  /// before.
  millrace::Stream of_external(cudaStream_t stream);
  /// Whichever it is.
  millrace::Stream of_any(c10::cuda::CUDAStream stream) {
    return is_torchs(stream.id()) ? of(stream.stream()) : of_external(stream.stream());
  }
  /// Has one of torch's this handle? Only those that were named before are known.
  bool is_known(cudaStream_t stream);
  /// Memory for a stream that torch did not make.
  millrace::NativeAllocator& external_memory() noexcept { return external_memory_; }
  /// Of the stream that a Millrace stream of this number stands for; null if it is none of these.
  cudaStream_t handle_of(int number);
  /// After the last work on memory of the stream.
  void forget(cudaStream_t stream) noexcept;

 private:
  /// What a thread has named last, over all devices.
  struct Named {
    std::uint64_t serial = 0;  // of the TorchStreams; none has 0
    cudaStream_t stream = nullptr;
    std::uint64_t epoch = 0;
    millrace::Stream wrapped;
  };
  static constexpr std::size_t kNamed = 4;

  millrace::Stream look_up(cudaStream_t stream);

  static constinit thread_local Named named_[kNamed];
  static constinit thread_local std::size_t next_named_;

  millrace::Device& device_;
  const std::uint64_t serial_;
  std::atomic<std::uint64_t> epoch_{0};  // how often a stream was let go of
  std::mutex mutex_;                     // protects what follows; taken when a stream is new to a thread
  using Leases = std::unordered_map<cudaStream_t, millrace::StreamLease>;
  Leases leases_;
  Leases external_;
  millrace::NativeAllocator external_memory_;
};

}  // namespace millrace_torch
