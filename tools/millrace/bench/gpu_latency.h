// How long a GPU takes for one short piece of work, by its own clock.
#pragma once

#include <cstdint>
#include <functional>

namespace millrace::tool {

/// What is done before each launch, so that none finds its input in the GPU's cache.
enum class CacheBefore : std::uint8_t {
  written,  ///< memory is set: the cache is full of what has yet to be written (as triton.testing.do_bench)
  read,     ///< memory is read: the cache is full of what need not be kept
};

/// A stream with memory of several times a cache's size.
///
/// Thread safety: one thread, which has selected the device (spin_kernel.h). All throw std::runtime_error
/// with the driver's reason, or because this build has no CUDA.
class GpuLatency {
 public:
  GpuLatency();
  GpuLatency(const GpuLatency&) = delete;
  GpuLatency& operator=(const GpuLatency&) = delete;
  ~GpuLatency();

  /// A cudaStream_t.
  void* stream() const noexcept { return stream_; }
  /// The median of so many launches, each of which is put on the stream by `launch`, in seconds.
  double seconds(int launches, CacheBefore cache, const std::function<void()>& launch);

 private:
  void* stream_ = nullptr;
  void* memory_ = nullptr;
};

}  // namespace millrace::tool
