// Segments of a pool that somebody else provides.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include <millrace/memory_pool.h>

#include "device/backend.h"
#include "sync/atomic.h"
#include "sync/mutex.h"

namespace millrace {

/// What a SegmentSource gives, as a space takes it: committed as a whole, aligned to the device's granule.
///
/// Invariants (docs/concurrency.md):
///   N5  A source is kept until the last of its segments has gone back to it, and is destroyed with no lock
///   held.
///
/// Thread safety: as MemorySource; set, has and take by one thread at a time, while nobody has memory of it.
class SourcedSegments final : public MemorySource {
 public:
  explicit SourcedSegments(std::size_t granule) : granule_(granule) {}

  void set(std::shared_ptr<SegmentSource> source) noexcept {
    source_ = std::move(source);
    misaligns_.store(false, std::memory_order_relaxed);  // as source_, which nobody uses yet
  }
  bool has() const noexcept { return source_ != nullptr; }
  std::shared_ptr<SegmentSource> take() noexcept { return std::move(source_); }

  std::size_t granule() const noexcept override { return granule_; }
  bool commits_whole() const noexcept override { return true; }
  Status reserve(std::size_t bytes, void** base) noexcept override;
  void release(void* base, std::size_t bytes) noexcept override;
  Status commit(void*, std::size_t) noexcept override { return {}; }
  std::span<std::byte> decommittable(void*, std::size_t) const noexcept override { return {}; }
  void decommit(void*, std::size_t) noexcept override {}

 private:
  /// Of a segment that the source gave somewhere else than at a multiple of the granule, with one more.
  struct Shifted {
    void* base;
    void* given;
    std::size_t bytes;
  };
  Status reserve_shifted(std::size_t bytes, void** base);
  bool is_aligned(const void* address) const noexcept;

  const std::size_t granule_;
  std::shared_ptr<SegmentSource> source_;
  sync::atomic<bool> misaligns_{false};  // it did so once
  sync::Mutex mutex_;
  std::vector<Shifted> shifted_ GUARDED_BY(mutex_);
};

}  // namespace millrace
