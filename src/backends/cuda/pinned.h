// Memory of the host's that the driver knows of and that stays where it is: pinned.
#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "backends/cuda/devices.h"
#include "device/backend.h"
#include "device/status.h"
#include "sync/annotations.h"
#include "sync/mutex.h"

namespace millrace::cuda {

/// Pages of our own that are registered with the driver, each reservation as a whole: the driver refuses a
/// copy that reaches from one registration into the next (docs/decisions/pinned-memory.md).
///
/// A forked child does not have them: on older kernels a fork would otherwise leave the device with other
/// pages than the parent, once the parent writes.
///
/// Invariants (docs/concurrency.md):
///   K3  committed_bytes is the sum of all that is registered, at every moment at which the mutex is free.
///
/// Thread safety: as MemorySource. The driver is called with no lock held.
class Pinned final : public MemorySource {
 public:
  /// Huge pages, which are locked 512 times faster.
  static constexpr std::size_t kGranule = std::size_t{2} << 20;

  Pinned(const Properties& properties, std::string device);
  ~Pinned();
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;

  /// Once the context is there.
  void open(CUcontext context) noexcept { context_ = context; }

  std::size_t granule() const noexcept override { return kGranule; }
  bool commits_whole() const noexcept override { return true; }
  /// Unsupported where the device can't use host addresses.
  Status reserve(std::size_t bytes, void** base) noexcept override;
  void release(void* base, std::size_t bytes) noexcept override;
  Status commit(void* address, std::size_t bytes) noexcept override;
  std::span<std::byte> decommittable(void* address, std::size_t bytes) const noexcept override;
  void decommit(void* address, std::size_t bytes) noexcept override;

  /// Is the whole range registered, and by one registration?
  bool contains(const void* address, std::size_t bytes) const noexcept;
  std::size_t committed_bytes() const noexcept;

  /// The context is lost, or the process is ending: from here on nothing is given back.
  void leak() noexcept;

 private:
  struct Range {
    std::size_t bytes = 0;
    bool registered = false;
  };

  Status refuse(ErrorCode code, const char* call, const void* address, std::size_t bytes,
                const std::string& why) const;

  const std::string device_;
  const Status no_memory_;  // made before, since it is said when nothing can be made
  const bool reaches_host_;
  CUcontext context_ = nullptr;
  mutable sync::Mutex mutex_;
  std::map<std::uintptr_t, Range> ranges_ GUARDED_BY(mutex_);  // by base
  std::size_t committed_ GUARDED_BY(mutex_) = 0;
  bool leaked_ GUARDED_BY(mutex_) = false;
};

}  // namespace millrace::cuda
