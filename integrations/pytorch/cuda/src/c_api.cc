// The library for those who load it without its header.
#include <torch/headeronly/version.h>

#include <exception>
#include <string>
#include <string_view>

#include "millrace_torch/cuda.h"

namespace {

millrace_torch::CudaOptions options;

/// The calling thread's, until its next call.
const char* kept(std::string text) {
  static thread_local std::string mine;
  mine = std::move(text);
  return mine.c_str();
}

template <typename Call>
const char* null_or_error(Call&& call) {
  try {
    call();
    return nullptr;
  } catch (const std::exception& error) {
    return kept(error.what());
  }
}

bool set_option(std::string_view name, double value) {
  if (name == "memory_limit") return options.memory_limit = static_cast<std::size_t>(value), true;
  if (name == "memory_fraction") return options.memory_fraction = value, true;
  if (name == "thread_cache_bytes") return options.thread_cache_bytes = static_cast<std::size_t>(value), true;
  if (name == "all_caches_bytes") return options.all_caches_bytes = static_cast<std::size_t>(value), true;
  if (name == "expandable") return options.expandable = value != 0, true;
  if (name == "native_geometry") return options.native_geometry = value != 0, true;
  if (name == "streams") return options.streams = static_cast<int>(value), true;
  if (name == "exact_peaks") return options.exact_peaks = value != 0, true;
  if (name == "out_of_memory_wait_ms")
    return options.out_of_memory_wait_ms = static_cast<std::int64_t>(value), true;
  return false;
}

}  // namespace

const char* millrace_torch_cuda_install() {
  return null_or_error([] { millrace_torch::install_cuda_allocator(options); });
}

const char* millrace_torch_cuda_set_option(const char* name, double value) {
  if (millrace_torch::cuda_allocator_installed())
    return kept(
        "the allocator is installed already; call millrace_torch.config() before millrace_torch.install()");
  if (set_option(name, value)) return nullptr;
  return kept(std::string("there is no option ") + name +
              "; there are memory_limit, memory_fraction, thread_cache_bytes, all_caches_bytes, expandable, "
              "native_geometry, streams, exact_peaks and out_of_memory_wait_ms");
}

int millrace_torch_cuda_installed() {
  return millrace_torch::cuda_allocator_installed() ? 1 : 0;
}

void millrace_torch_cuda_forget_stream(int device, void* stream) {
  millrace_torch::forget_cuda_stream(device, stream);
}

const char* millrace_torch_cuda_describe_memory(int device) try {
  return kept(millrace_torch::describe_cuda_memory(device));
} catch (const std::exception& error) {
  return kept(error.what());
}

const char* millrace_torch_cuda_built_for() {
#define MILLRACE_TORCH_TEXT_OF(number) #number
#define MILLRACE_TORCH_TEXT(number) MILLRACE_TORCH_TEXT_OF(number)
  return MILLRACE_TORCH_TEXT(TORCH_VERSION_MAJOR) "." MILLRACE_TORCH_TEXT(
      TORCH_VERSION_MINOR) "." MILLRACE_TORCH_TEXT(TORCH_VERSION_PATCH);
}
