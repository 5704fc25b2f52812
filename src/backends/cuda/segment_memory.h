// The device's memory where the driver maps none into reserved addresses: allocations of its own.
#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "backends/cuda/memory.h"
#include "device/status.h"
#include "sync/annotations.h"
#include "sync/mutex.h"

namespace millrace::cuda {

/// Each reservation is one allocation of the driver's, which takes the memory at once and gives it back when
/// it is released: the driver then waits for all of the device's work, which is one more reason to release
/// little.
///
/// Thread safety: as Memory. The driver is called with no lock held.
class SegmentMemory final : public Memory {
 public:
  /// What the driver aligns allocations of some size to at least.
  static constexpr std::size_t kGranule = std::size_t{64} << 10;

  using Memory::Memory;
  ~SegmentMemory() override;

  std::size_t granule() const noexcept override { return kGranule; }
  bool commits_whole() const noexcept override { return true; }
  Status reserve(std::size_t bytes, void** base) noexcept override;
  void release(void* base, std::size_t bytes) noexcept override;
  Status commit(void* address, std::size_t bytes) noexcept override;
  std::span<std::byte> decommittable(void* address, std::size_t bytes) const noexcept override;
  void decommit(void* address, std::size_t bytes) noexcept override;

  Status grant_access(CUdevice peer) noexcept override;
  bool contains(const void* address, std::size_t bytes) const noexcept override;
  std::size_t committed_bytes() const noexcept override;
  void leak() noexcept override;

 private:
  struct Segment {
    std::size_t bytes = 0;
    bool committed = false;
  };

  mutable sync::Mutex mutex_;
  std::map<std::uintptr_t, Segment> segments_ GUARDED_BY(mutex_);  // by base
  std::size_t committed_ GUARDED_BY(mutex_) = 0;
  bool leaked_ GUARDED_BY(mutex_) = false;
};

}  // namespace millrace::cuda
