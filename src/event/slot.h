// One pooled event: which point of which stream it marks, and when that was reached.
#pragma once

#include <cstdint>
#include <utility>

#include "device/backend.h"
#include "stream/segment.h"
#include "sync/atomic.h"
#include "sync/clock.h"
#include "sync/mutex.h"

namespace millrace {

/// Lives as long as the pool; leased to one public Event after the other.
///
/// Invariants (docs/concurrency/streams.md):
///   V1  The stream and the value that an event marks are read and written as one word: nobody sees the
///       stream of one record with the value of another.
///   V2  A time is kept only for the newest marking of the current lease.
///   V3  The time of a marking is there before the timeline says that its point was reached.
///   V6  The driver's event that a slot has is of its newest marking, and is no other slot's; an older one is
///       returned when the slot is marked again or given back.
///
/// Thread safety: all members from any thread; take and give_back from the pool, for a slot that is nobody
/// else's. The mutex is a leaf.
class alignas(sync::kInterference) EventSlot final : public Mark {
 public:
  /// What it marks; value 0 if it was never recorded.
  TimelinePoint point() const noexcept {
    // acquire: pairs with the release in marked, so that who sees the point may look up its segment.
    const std::uint64_t word = word_.load(std::memory_order_acquire);
    return {static_cast<QueueId>(word >> kValueBits), word & kValueMask};
  }

  struct Stamp {
    std::uint64_t records = 0;  ///< in this lease
    bool reached = false;
    sync::Clock::time_point when;
  };
  Stamp stamp() const noexcept EXCLUDES(mutex_) {
    sync::LockGuard lock(mutex_);
    // relaxed: the caller has the lease.
    if (marked_by_ != lease_.load(std::memory_order_relaxed)) return {};
    return {markings_ - first_marking_, reached_, when_};
  }

  /// What is marked now.
  struct Marking {
    TimelinePoint point;
    std::uint64_t number = 0;
    void* native = nullptr;  ///< the driver's event for it, if somebody has asked
  };
  Marking marking() const noexcept EXCLUDES(mutex_) {
    sync::LockGuard lock(mutex_);
    return {point(), markings_, native_marking_ == markings_ ? native_.event : nullptr};
  }
  /// An event of the driver's, and the queue to return it to.
  struct Native {
    void* event = nullptr;
    QueueId queue = 0;
  };
  /// Takes over an event that was lent for that marking, unless the slot was marked again or has one. native
  /// becomes what the caller has to return.
  [[nodiscard]] bool keep_native(std::uint64_t marking, Native& native) noexcept EXCLUDES(mutex_) {
    sync::LockGuard lock(mutex_);
    if (marking != markings_ || (native_marking_ == marking && native_.event != nullptr)) return false;
    std::swap(native_, native);
    native_marking_ = marking;
    // relaxed: who has to see it is ordered by the mutex, or by the caller (see has_native).
    has_native_.store(true, std::memory_order_relaxed);
    return true;
  }
  enum class Which : std::uint8_t { old, any };
  /// Takes the one that it has out: of an older marking than the newest, or any.
  Native take_native(Which which) noexcept EXCLUDES(mutex_) {
    sync::LockGuard lock(mutex_);
    if (which == Which::old && native_marking_ == markings_) return {};
    has_native_.store(false, std::memory_order_relaxed);  // relaxed: as above
    return std::exchange(native_, {});
  }
  /// For who has marked it, or owns the lease: is there one to take?
  bool has_native() const noexcept {
    // relaxed: one that was kept for an older marking was so before marked, under the same mutex.
    return has_native_.load(std::memory_order_relaxed);
  }

  /// A new lease; returns its number. Touches nothing that other threads write, so that taking an event costs
  /// no more than that.
  std::uint32_t take() noexcept {
    // relaxed: the pool has handed the slot over (V4), and earlier leases' numbers fit none that follows.
    word_.store(0, std::memory_order_relaxed);
    const std::uint32_t lease = lease_.load(std::memory_order_relaxed) + 1;
    lease_.store(lease, std::memory_order_relaxed);
    return lease;
  }
  /// False if that lease had ended before.
  [[nodiscard]] bool give_back(std::uint32_t lease) noexcept {
    // relaxed: as in take. A lease has one owner, so nobody else gives it back meanwhile.
    if (lease_.load(std::memory_order_relaxed) != lease) return false;
    lease_.store(lease + 1, std::memory_order_relaxed);
    return true;
  }

  // Mark
  std::uint64_t marked(TimelinePoint point) noexcept override EXCLUDES(mutex_) {
    sync::LockGuard lock(mutex_);
    const std::uint32_t lease = lease_.load(std::memory_order_relaxed);  // relaxed: as in stamp
    if (std::exchange(marked_by_, lease) != lease) first_marking_ = markings_;
    reached_ = false;
    // release: pairs with the acquire in point. Under the mutex, so that the word is the newest marking's.
    word_.store(static_cast<std::uint64_t>(point.queue) << kValueBits | point.value,
                std::memory_order_release);
    return ++markings_;
  }
  void reached(std::uint64_t marking, sync::Clock::time_point when) noexcept override EXCLUDES(mutex_) {
    sync::LockGuard lock(mutex_);
    if (marking != markings_) return;
    reached_ = true;
    when_ = when;
  }

 private:
  static constexpr int kValueBits = 52;  // the rest is enough for 4096 streams
  static constexpr std::uint64_t kValueMask = (std::uint64_t{1} << kValueBits) - 1;

  sync::atomic<std::uint64_t> word_{0};
  mutable sync::Mutex mutex_;
  std::uint64_t markings_ GUARDED_BY(mutex_) =
      0;  // over all leases, so that old ones are never taken for new
  std::uint64_t first_marking_ GUARDED_BY(mutex_) = 0;  // before those of the lease that has marked it last
  std::uint32_t marked_by_ GUARDED_BY(mutex_) = 0;      // that lease
  sync::atomic<std::uint32_t> lease_{0};
  bool reached_ GUARDED_BY(mutex_) = false;
  sync::Clock::time_point when_ GUARDED_BY(mutex_){};
  Native native_ GUARDED_BY(mutex_);
  std::uint64_t native_marking_ GUARDED_BY(mutex_) = 0;  // whose that is
  sync::atomic<bool> has_native_{false};                 // written under mutex_
};

}  // namespace millrace
