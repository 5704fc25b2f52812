// How fast bytes get to a device that does not read the host's memory: the floor of all that come from a
// file.
#pragma once

#include <cstdint>

#include <millrace/device.h>

namespace millrace::tool {

/// Pinned memory is copied to the device again and again, and nothing else is done.
///
/// Thread safety: one thread.
class LinkFloor {
 public:
  explicit LinkFloor(const Device& device);
  /// Seconds that copying so much takes, in pieces of 64 MiB.
  double time(std::uint64_t bytes);

 private:
  Device device_;
  Buffer pinned_;
  Buffer memory_;
};

}  // namespace millrace::tool
