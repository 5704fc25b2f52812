#include "open_device.h"

#include <algorithm>

#include <fmt/format.h>

#include "usage_error.h"

namespace millrace::tool {
namespace {

template <typename Opener>
Device checked(const std::string& name, Opener opener) {
  try {
    return opener();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::InvalidArgument) throw;
    throw UsageError(fmt::format("--device {}: {}", name, error.message()));
  }
}

}  // namespace

Device open_device(const std::string& name, const DeviceOptions& options) {
  return checked(name, [&] { return Device::open(name, options); });
}

Device create_device(const std::string& name, const DeviceOptions& options) {
  return checked(name, [&] { return Device::create(name, options); });
}

std::string fastest_device(const std::vector<DeviceInfo>& available) {
  const auto gpu =
      std::ranges::find_if_not(available, [](const DeviceInfo& info) { return is_host(info.name); });
  return gpu == available.end() ? "host" : gpu->name;
}

}  // namespace millrace::tool
