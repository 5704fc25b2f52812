// The other NVIDIA devices of this machine, as one of them sees them.
#pragma once

#include <cuda.h>

#include <map>
#include <string>
#include <vector>

#include "device/status.h"
#include "sync/annotations.h"
#include "sync/mutex.h"

namespace millrace::cuda {

/// Thread safety: all members from any thread. The mutex is a leaf; the driver is called with it held, once a
/// peer.
class Peers {
 public:
  Peers(CUdevice own, std::string device) : own_(own), device_(std::move(device)) {}
  Peers(const Peers&) = delete;
  Peers& operator=(const Peers&) = delete;

  CUdevice own() const noexcept { return own_; }
  /// A device's primary context: where copies go and come from.
  CUresult context_of(CUdevice peer, CUcontext* context) noexcept EXCLUDES(mutex_);
  /// Unsupported where the peer's work can't reach this device's memory.
  Status check_reachable_from(CUdevice peer) const;

 private:
  const CUdevice own_;
  const std::string device_;
  sync::Mutex mutex_;
  std::map<CUdevice, CUcontext> contexts_ GUARDED_BY(mutex_);
};

}  // namespace millrace::cuda
