// How much memory may be taken from the device, and how much is.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>

#include "sync/atomic.h"
#include "sync/mutex.h"

namespace millrace {

/// Memory is reserved here before the device is asked for it, and returned after it was given back.
///
/// Invariants (docs/concurrency.md):
///   M2  committed() <= limit() at every instant, in the order of the mutex.
///
/// Thread safety: all members from any thread.
class Limit {
 public:
  explicit Limit(std::size_t limit) : limit_(limit) {}

  [[nodiscard]] bool try_reserve(std::size_t bytes) {
    sync::LockGuard lock(mutex_);
    // relaxed here and below: written under the mutex; the loads outside are of single figures.
    const std::size_t committed = committed_.load(std::memory_order_relaxed);
    const std::size_t limit = limit_.load(std::memory_order_relaxed);
    if (committed > limit || bytes > limit - committed) return false;
    committed_.store(committed + bytes, std::memory_order_relaxed);
    if (committed + bytes > peak_.load(std::memory_order_relaxed)) {
      peak_.store(committed + bytes, std::memory_order_relaxed);
    }
    return true;
  }
  void give_back(std::size_t bytes) {
    sync::LockGuard lock(mutex_);
    const std::size_t committed = committed_.load(std::memory_order_relaxed);
    assert(bytes <= committed && "accounting: more given back than was committed (M2)");
    committed_.store(committed - bytes, std::memory_order_relaxed);
  }
  /// False, and nothing changes, while more than that is committed.
  [[nodiscard]] bool try_set(std::size_t limit) {
    sync::LockGuard lock(mutex_);
    if (committed_.load(std::memory_order_relaxed) > limit) return false;
    limit_.store(limit, std::memory_order_relaxed);
    return true;
  }
  void reset_peak() {
    sync::LockGuard lock(mutex_);
    peak_.store(committed_.load(std::memory_order_relaxed), std::memory_order_relaxed);
  }

  std::size_t committed() const noexcept { return committed_.load(std::memory_order_relaxed); }
  std::size_t limit() const noexcept { return limit_.load(std::memory_order_relaxed); }
  std::size_t peak() const noexcept { return peak_.load(std::memory_order_relaxed); }

 private:
  sync::Mutex mutex_;  // orders the writers of the three; never held over a call to the device
  sync::atomic<std::size_t> limit_;
  sync::atomic<std::size_t> committed_{0};
  sync::atomic<std::size_t> peak_{0};
};

/// Part of a limit, reserved: given back at the end of the scope unless it was used up.
///
/// Thread safety: one thread.
class LimitShare {
 public:
  LimitShare(Limit& limit, std::size_t bytes) : limit_(limit), bytes_(limit.try_reserve(bytes) ? bytes : 0) {}
  ~LimitShare() {
    if (bytes_ != 0) limit_.give_back(bytes_);
  }
  LimitShare(const LimitShare&) = delete;
  LimitShare& operator=(const LimitShare&) = delete;
  /// False where the limit had no room.
  explicit operator bool() const noexcept { return bytes_ != 0; }
  void use_up() noexcept { bytes_ = 0; }

 private:
  Limit& limit_;
  std::size_t bytes_;
};

}  // namespace millrace
