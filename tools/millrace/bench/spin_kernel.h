// A kernel that keeps its stream busy for a while, and the driver's streams, for benches.
#pragma once

namespace millrace::tool {

/// The calling thread uses the CUDA device of this number. This and the others throw std::runtime_error with
/// the driver's reason, or because this build has no CUDA.
void select_cuda_device(int number);

/// One thread that spins for a million clock ticks and writes 8 bytes. stream: a cudaStream_t of that device.
void launch_spin(void* stream, void* eight_bytes);

/// Until all that was put on any of the device's streams is done.
void wait_for_cuda_device();

/// A stream of the driver and 8 bytes of memory, by no allocator.
///
/// Thread safety: one thread at a time, which has selected the device.
class SpinStream {
 public:
  SpinStream();
  SpinStream(SpinStream&& other) noexcept : stream_(other.stream_), eight_bytes_(other.eight_bytes_) {
    other.stream_ = other.eight_bytes_ = nullptr;
  }
  SpinStream& operator=(SpinStream&&) = delete;
  ~SpinStream();
  void launch() const { launch_spin(stream_, eight_bytes_); }

 private:
  void* stream_ = nullptr;
  void* eight_bytes_ = nullptr;
};

}  // namespace millrace::tool
