// The NVIDIA devices of this machine, and opening one of them.
#pragma once

#include <cuda.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/device.h>

#include "device/status.h"

namespace millrace::cuda {

/// What the driver says of a device.
struct Properties {
  CUdevice device = 0;
  int index = 0;
  std::string name;  ///< "NVIDIA H200"
  std::string uuid;  ///< "GPU-" and 32 hexadecimal digits in groups
  std::size_t memory_bytes = 0;
  int multiprocessors = 0;
  int compute_major = 0, compute_minor = 0;
  bool virtual_memory = false;  ///< memory can be mapped into reserved addresses
  bool shareable = false;       ///< as a file descriptor
  bool rdma_capable = false;    ///< with memory that is mapped so
};

/// Empty where there is no driver.
std::vector<Properties> list_devices();

/// The device's own words, as `devices` shows them.
std::string description_of(const Properties& properties);

/// "cuda", "cuda:1", "cuda:GPU-12ab..." (as much of the UUID as tells it from others) to an index; -1 if
/// there is no such device.
int find_device(std::string_view name, const std::vector<Properties>& devices);

/// The device's primary context, held while this lives; what CUDA's runtime uses too.
///
/// Thread safety: any thread.
class PrimaryContext {
 public:
  PrimaryContext() = default;
  PrimaryContext(const PrimaryContext&) = delete;
  PrimaryContext& operator=(const PrimaryContext&) = delete;
  ~PrimaryContext() { release(); }

  Status retain(const Properties& properties, const std::string& name);
  CUcontext get() const noexcept { return context_; }
  void release() noexcept;
  /// It stays as it is: the process is ending, or is a forked child.
  void leak() noexcept { context_ = nullptr; }

 private:
  CUdevice device_ = 0;
  CUcontext context_ = nullptr;
};

}  // namespace millrace::cuda
