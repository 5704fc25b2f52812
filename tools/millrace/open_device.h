// --device, checked: a name that no device has is an error of usage, not of a device.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <millrace/device.h>

namespace millrace::tool {

/// Throws UsageError for a name that is not one; what Device::open throws otherwise.
Device open_device(const std::string& name, const DeviceOptions& options);

/// The same, shared with nobody.
Device create_device(const std::string& name, const DeviceOptions& options);

/// The name of the first GPU among them, else "host".
std::string fastest_device(const std::vector<DeviceInfo>& available);

/// Is it a name of a host device?
constexpr bool is_host(std::string_view name) noexcept {
  return name == "host" || name.starts_with("host:");
}

}  // namespace millrace::tool
