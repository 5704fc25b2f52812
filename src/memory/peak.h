// The largest number of live bytes there ever was.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "sync/atomic.h"

namespace millrace {

/// The shared half: what threads have published.
///
/// Exact while one thread allocates and frees. With n threads off by at most n quanta in either direction,
/// since each may keep that much to itself; a quantum of 0 makes it exact always.
///
/// Thread safety: all members from any thread.
class Peak {
 public:
  explicit Peak(std::size_t quantum) : quantum_(static_cast<std::int64_t>(quantum)) {}
  std::int64_t quantum() const noexcept { return quantum_; }

  /// A thread's live bytes changed by change, and were higher by high in between.
  void publish(std::int64_t change, std::int64_t high) noexcept {
    // relaxed: the order of all changes is that of this one variable.
    const std::int64_t before = live_.fetch_add(change, std::memory_order_relaxed);
    sync::raise_to(peak_, before + std::max(high, change));
  }
  std::size_t value() const noexcept {
    return static_cast<std::size_t>(std::max<std::int64_t>(0, peak_.load(std::memory_order_relaxed)));
  }
  void reset() noexcept { peak_.store(live_.load(std::memory_order_relaxed), std::memory_order_relaxed); }

 private:
  const std::int64_t quantum_;
  sync::atomic<std::int64_t> live_{0};
  sync::atomic<std::int64_t> peak_{0};
};

/// One thread's half. Thread safety: by the context's holder.
class PeakShare {
 public:
  void change(Peak& peak, std::int64_t bytes) noexcept {
    unpublished_ += bytes;
    high_ = std::max(high_, unpublished_);
    if (unpublished_ > peak.quantum() || -unpublished_ > peak.quantum()) publish(peak);
  }
  void publish(Peak& peak) noexcept {
    peak.publish(unpublished_, high_);
    unpublished_ = 0;
    high_ = 0;
  }

 private:
  std::int64_t unpublished_ = 0;
  std::int64_t high_ = 0;
};

}  // namespace millrace
