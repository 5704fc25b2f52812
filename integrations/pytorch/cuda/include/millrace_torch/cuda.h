// PyTorch's CUDA allocator replaced by Millrace's: for programs that use libtorch, and for millrace_torch's
// Python.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#define MILLRACE_TORCH_API __attribute__((visibility("default")))

namespace millrace_torch {

/// What each CUDA device is opened with, when torch first allocates there.
struct CudaOptions {
  /// Committed bytes never exceed it. 0: what the device has.
  std::size_t memory_limit = 0;
  /// And never more than this part of what the device has, from 0 to 1. 0: nothing is to be had.
  double memory_fraction = 1;
  /// What one thread may keep in its cache of free blocks, and all of them together, in bytes.
  std::size_t thread_cache_bytes = std::size_t{32} << 20;
  std::size_t all_caches_bytes = std::size_t{1} << 30;
  /// Segments grow in place; else each is as large as what was needed when it was taken.
  bool expandable = true;
  /// Segments as torch's own allocator takes them without expandable ones: 2 MiB for blocks up to 1 MiB, 20
  /// for blocks below 10 MiB. For programs, and tests, that reckon with them. It wastes more.
  bool native_geometry = false;
  /// How many of torch's streams a device may have memory for at once: 1 to 1024. torch's own pools have up
  /// to 128.
  int streams = 256;
  /// Peaks of allocated bytes exact while many threads allocate, for one shared counter an allocation.
  bool exact_peaks = false;
  /// How long an allocation may wait for memory that other streams' work still uses, in milliseconds.
  std::int64_t out_of_memory_wait_ms = 1000;
};

/// From here on all CUDA memory of torch's is Millrace's, in this process, for good. Before the first use of
/// CUDA (a tensor there, torch.cuda.init()): later it throws c10::Error, which says what to do. A second call
/// does nothing.
///
/// Thread safety: by one thread, before others use CUDA.
MILLRACE_TORCH_API void install_cuda_allocator(const CudaOptions& options = {});
MILLRACE_TORCH_API bool cuda_allocator_installed() noexcept;

/// Lets go of a stream that torch did not make (torch.cuda.ExternalStream), before its owner destroys it and
/// after the last work on memory that was allocated for it. stream: a cudaStream_t. Nothing if it was never
/// used.
///
/// Thread safety: any thread, while nobody allocates for the stream.
MILLRACE_TORCH_API void forget_cuda_stream(int device, void* stream) noexcept;

/// What the device's memory is made of, in words: who holds how much, on which streams. Empty where torch has
/// not used the device yet.
///
/// Thread safety: any thread at any time.
MILLRACE_TORCH_API std::string describe_cuda_memory(int device);

}  // namespace millrace_torch

/// The same for those who load the library without its header (Python's ctypes). What can fail returns null,
/// or what is wrong, which is the calling thread's until its next call here.
extern "C" {
MILLRACE_TORCH_API const char* millrace_torch_cuda_install();
/// Before install: one member of CudaOptions by its name; true and false are 1 and 0.
MILLRACE_TORCH_API const char* millrace_torch_cuda_set_option(const char* name, double value);
MILLRACE_TORCH_API int millrace_torch_cuda_installed();
MILLRACE_TORCH_API void millrace_torch_cuda_forget_stream(int device, void* stream);
MILLRACE_TORCH_API const char* millrace_torch_cuda_describe_memory(int device);
/// As "2.11.0": the torch that this was built against.
MILLRACE_TORCH_API const char* millrace_torch_cuda_built_for();
}
