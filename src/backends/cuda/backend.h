// The CUDA backend: NVIDIA devices.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/device.h>

#include "device/backend.h"

namespace millrace::cuda {

/// One entry a device that can be opened.
std::vector<DeviceInfo> available_devices();
/// Why there is none: no driver, no device, or a build without CUDA. Empty if there is one.
std::string absence();
/// "cuda", "cuda:1" or "cuda:GPU-..." to "cuda:INDEX"; empty if there is no such device.
std::string full_name(std::string_view name);
/// name: what full_name gave. Throws Unsupported for options that only the host has.
std::unique_ptr<Backend> make_backend(const std::string& name, const DeviceOptions& options);

}  // namespace millrace::cuda
