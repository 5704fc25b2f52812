// How a device is put together: a backend and the layers on it.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <millrace/device.h>

#include "device/core.h"
#include "sync/ref.h"

namespace millrace {

/// The full name that "auto", "host" and the like stand for. Throws InvalidArgument for names of nothing.
std::string full_device_name(std::string_view name);

/// What open would find: the host, and each device of the other backends.
std::vector<DeviceInfo> available_devices();
std::vector<AbsentBackend> absent_backends();

/// Opens the backend and builds the layers. name is full. Throws InvalidArgument for options out of
/// range, and what the backend's start says.
sync::Ref<Core> build_device(const std::string& name, const DeviceOptions& options);
/// The same with a backend that is there already; checks no options.
sync::Ref<Core> build_device(const std::string& name, const DeviceOptions& options,
                             std::unique_ptr<Backend> backend);

}  // namespace millrace
