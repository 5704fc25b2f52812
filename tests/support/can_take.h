// Whether memory can be had.
#pragma once

#include <millrace/millrace.h>

#include <cstddef>

namespace millrace::test {

/// Can so much be had on the stream? What was had is free again.
inline bool can_take(Device& device, Stream stream, std::size_t bytes) {
  try {
    device.deallocate(device.allocate(stream, bytes));
    return true;
  } catch (const OutOfMemoryError&) {
    return false;
  }
}
inline bool can_take(Device& device, std::size_t bytes) {
  return can_take(device, device.default_stream(), bytes);
}

}  // namespace millrace::test
