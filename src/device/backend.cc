#include "device/backend.h"

namespace millrace {

Status Backend::native_stream(QueueId /*queue*/, void** stream) noexcept {
  *stream = nullptr;
  return Status(ErrorCode::Unsupported,
                "the device has no streams of a driver's to put work on; record it as operations");
}

Status Backend::grant_access(const std::string& other_device) {
  if (other_device == info().name) return {};
  return Status(ErrorCode::Unsupported, other_device + " has no way to the memory of " + info().name +
                                            "; copy through a stream of the device");
}

}  // namespace millrace
