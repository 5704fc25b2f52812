#include "device/backend.h"

namespace millrace {

Status Backend::native_stream(QueueId /*queue*/, void** stream) noexcept {
  *stream = nullptr;
  return Status(ErrorCode::Unsupported,
                "the device has no streams of a driver's to put work on; record it as operations");
}

}  // namespace millrace
