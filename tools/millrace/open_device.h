// --device, checked: a name that no device has is an error of usage, not of a device.
#pragma once

#include <string>

#include <millrace/device.h>

namespace millrace::tool {

/// Throws UsageError for a name that is not one; what Device::open throws otherwise.
Device open_device(const std::string& name, const DeviceOptions& options);

/// The same, shared with nobody.
Device create_device(const std::string& name, const DeviceOptions& options);

}  // namespace millrace::tool
