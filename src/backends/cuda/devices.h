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
  bool host_addresses = false;  ///< registered memory of the host's has one address for host and device
};

/// Empty where there is no driver.
std::vector<Properties> list_devices();

/// The device's own words, as `devices` shows them.
std::string description_of(const Properties& properties);

/// "cuda", "cuda:1", "cuda:GPU-12ab..." (as much of the UUID as tells it from others) to an index; -1 if
/// there is no such device.
int find_device(std::string_view name, const std::vector<Properties>& devices);

/// The device's primary context, which CUDA's runtime uses too. From here on it lasts as long as the process:
/// libraries that found it current use it without holding it, and would lose all they have when the last
/// holder let go.
CUresult hold_primary_context(CUdevice device, CUcontext* context) noexcept;

}  // namespace millrace::cuda
