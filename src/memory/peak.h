// The most that there ever was of live and of active blocks, of their bytes and of their number.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "sync/mutex.h"

namespace millrace {

/// Blocks, by their bytes and their number; differences may be negative.
struct Amount {
  std::int64_t bytes = 0;
  std::int64_t blocks = 0;

  void operator+=(const Amount& other) noexcept {
    bytes += other.bytes;
    blocks += other.blocks;
  }
  void operator-=(const Amount& other) noexcept {
    bytes -= other.bytes;
    blocks -= other.blocks;
  }
  friend Amount operator+(Amount one, const Amount& other) noexcept {
    one += other;
    return one;
  }
  friend Amount operator-(Amount one, const Amount& other) noexcept {
    one -= other;
    return one;
  }
  /// Each by itself.
  void widen(const Amount& other) noexcept {
    bytes = std::max(bytes, other.bytes);
    blocks = std::max(blocks, other.blocks);
  }
};

/// What is followed, of blocks of all sizes, of small and of large ones: those that callers hold, and with
/// them those that were freed while work still uses them.
struct BlockFigures {
  Amount live, small_live, large_live;
  Amount active, small_active, large_active;

  template <typename Apply>
  static void for_each(BlockFigures& figures, const BlockFigures& others, Apply&& apply) {
    apply(figures.live, others.live);
    apply(figures.small_live, others.small_live);
    apply(figures.large_live, others.large_live);
    apply(figures.active, others.active);
    apply(figures.small_active, others.small_active);
    apply(figures.large_active, others.large_active);
  }
  void operator+=(const BlockFigures& other) noexcept {
    for_each(*this, other, [](Amount& to, const Amount& from) { to += from; });
  }
  void widen(const BlockFigures& other) noexcept {
    for_each(*this, other, [](Amount& to, const Amount& from) { to.widen(from); });
  }
  friend BlockFigures operator+(BlockFigures one, const BlockFigures& other) noexcept {
    one += other;
    return one;
  }
};

/// The shared half: what threads have published.
///
/// Exact while one thread allocates and frees. With n threads off by at most n quanta in either direction,
/// since each may keep that much to itself; a quantum of 0 makes it exact always.
///
/// Thread safety: all members from any thread.
class Peaks {
 public:
  explicit Peaks(std::size_t quantum) : quantum_(static_cast<std::int64_t>(quantum)) {}
  std::int64_t quantum() const noexcept { return quantum_; }  ///< bytes

  /// What a thread has changed by change was higher by high in between, or not.
  void publish(const BlockFigures& change, const BlockFigures& high) noexcept {
    sync::LockGuard lock(mutex_);
    peak_.widen(now_ + high);
    now_ += change;
    peak_.widen(now_);
  }
  /// Work no longer uses blocks that were freed. Who is alone has published before: the peak may have been
  /// then.
  void on_unused(const Amount& small, const Amount& large) noexcept {
    sync::LockGuard lock(mutex_);
    now_.active -= small + large;
    now_.small_active -= small;
    now_.large_active -= large;
  }
  BlockFigures value() noexcept {
    sync::LockGuard lock(mutex_);
    return peak_;
  }
  std::size_t live_bytes() noexcept {
    // What a thread has freed may be published before another one says that it was allocated.
    return static_cast<std::size_t>(std::max<std::int64_t>(0, value().live.bytes));
  }
  void reset() noexcept {
    sync::LockGuard lock(mutex_);
    peak_ = now_;
  }

 private:
  const std::int64_t quantum_;
  sync::Mutex mutex_;  // a leaf
  BlockFigures now_ GUARDED_BY(mutex_), peak_ GUARDED_BY(mutex_);
};

/// One thread's half. What cached allocations do is follow the live blocks of all sizes: since the last large
/// block came or went the small ones have changed by as much, and so have the active ones.
///
/// Thread safety: by the context's holder.
class PeakShare {
 public:
  /// A small block.
  void on_allocate(Peaks& peaks, std::size_t bytes) noexcept {
    live_ += {static_cast<std::int64_t>(bytes), 1};
    most_.widen(live_);
    if (live_.bytes > peaks.quantum()) [[unlikely]]
      publish(peaks);
  }
  void on_free(Peaks& peaks, std::size_t bytes) noexcept {
    live_ -= {static_cast<std::int64_t>(bytes), 1};
    if (-live_.bytes > peaks.quantum()) [[unlikely]]
      publish(peaks);
  }
  void on_allocate_large(Peaks& peaks, std::size_t bytes) noexcept {
    fold();
    large_ += {static_cast<std::int64_t>(bytes), 1};
    on_allocate(peaks, bytes);
  }
  /// Of any size. used: work still uses it, so that it is active until Peaks::on_unused.
  void on_free(Peaks& peaks, std::size_t bytes, bool large, bool used) noexcept {
    fold();
    const Amount gone{static_cast<std::int64_t>(bytes), 1};
    if (large) large_ -= gone;
    if (used) (large ? large_used_ : small_used_) += gone;
    most_ = live_ - gone;
    on_free(peaks, bytes);
  }
  void publish(Peaks& peaks) noexcept {
    fold();
    peaks.publish(figures(live_), high_);
    live_ = large_ = small_used_ = large_used_ = most_ = {};
    high_ = {};
  }

 private:
  /// What this thread has changed, where it has so many live blocks more than when it last published.
  BlockFigures figures(const Amount& live) const noexcept {
    const Amount small = live - large_;
    return {live, small, large_, live + small_used_ + large_used_, small + small_used_, large_ + large_used_};
  }
  void fold() noexcept {
    high_.widen(figures(most_));
    most_ = live_;
  }

  Amount live_;                     // since the last publish
  Amount most_;                     // of it, since the last fold
  Amount large_;                    // of live_, in large blocks
  Amount small_used_, large_used_;  // freed, and still active
  BlockFigures high_;               // before the last fold
};

}  // namespace millrace
