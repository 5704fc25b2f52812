// The device's own memory, whichever way the driver gives it.
#pragma once

#include <cuda.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "backends/cuda/devices.h"
#include "backends/cuda/peers.h"
#include "backends/cuda/pinned.h"
#include "device/backend.h"
#include "device/status.h"

namespace millrace::cuda {

/// What both ways have in common, and what is asked of an address.
///
/// Invariants (docs/concurrency.md):
///   K3  committed_bytes is the sum of all that is committed, at every moment at which the mutex is free.
///
/// Thread safety: as MemorySource; open comes first.
class Memory : public MemorySource {
 public:
  /// Every granule divides it.
  static constexpr std::size_t kLargestGranule = std::size_t{2} << 20;

  Memory(const Properties& properties, std::string device);
  virtual ~Memory() = default;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  /// Once the context is there. Unsupported where the driver's unit does not divide ours.
  virtual Status open(CUcontext context);
  /// From here on the peer's work may touch all that is committed, now and later. Unsupported where it can't.
  virtual Status grant_access(CUdevice peer) noexcept = 0;
  /// Is the whole range committed memory of one reservation?
  virtual bool contains(const void* address, std::size_t bytes) const noexcept = 0;
  virtual std::size_t committed_bytes() const noexcept = 0;
  /// The context is lost, or the process is ending: from here on nothing is given back.
  virtual void leak() noexcept;

  std::optional<MemoryRoom> room() const noexcept override;

  /// What copies to and from other devices need.
  Peers& peers() const noexcept { return peers_; }
  /// The device's pinned memory.
  Pinned& pinned() noexcept { return pinned_; }
  const Pinned& pinned() const noexcept { return pinned_; }

 protected:
  const std::string& device() const noexcept { return device_; }
  /// Made before, since it is said when nothing can be made.
  const Status& no_memory() const noexcept { return no_memory_; }
  CUcontext context() const noexcept { return context_; }
  Status refuse(ErrorCode code, const char* call, const void* address, std::size_t bytes,
                const std::string& why) const;
  Status failed(CUresult result, const std::string& call, const void* address, std::size_t bytes) const;

 private:
  const std::string device_;
  const Status no_memory_;
  CUcontext context_ = nullptr;
  mutable Peers peers_;
  Pinned pinned_;
};

/// limit: what will be committed at most.
std::unique_ptr<Memory> make_memory(const Properties& properties, std::size_t limit,
                                    const std::string& device);

}  // namespace millrace::cuda
