// Millrace as what a replay drives.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <millrace/device.h>

#include "replay/allocator.h"

namespace millrace::tool {

/// A device of its own, with a leased stream for each of the log's. Where the log has more than a device can
/// have, the last ones are shared.
class DeviceAllocator final : public ReplayAllocator {
 public:
  /// device: as --device. memory_limit: 0 for the device's. Throws as create_device does.
  DeviceAllocator(const std::string& device, std::size_t streams, std::size_t memory_limit);

  void* allocate(std::size_t stream, std::size_t bytes) override;
  void release(std::size_t stream, void* address, std::size_t bytes) override;
  std::uint64_t peak_committed() const override { return device_.memory().peak_committed; }

 private:
  Device device_;
  std::vector<StreamLease> leases_;  // after the device: they end first
  std::vector<Stream> streams_;
};

}  // namespace millrace::tool
