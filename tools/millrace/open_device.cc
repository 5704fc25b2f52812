#include "open_device.h"

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

}  // namespace millrace::tool
