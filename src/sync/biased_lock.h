// A lock for one thread that takes it all the time and others that hardly ever do.
#pragma once

#include <cassert>
#include <cstdint>

#include "sync/asymmetric_fence.h"
#include "sync/atomic.h"
#include "sync/thread.h"

namespace millrace::sync {

/// The owner announces that it is inside and looks whether the lock is claimed; others claim it, fence, and
/// look whether the owner is inside. Each looks after it has written, so they never both go on (F1), and the
/// owner's part is a plain store and a load. In the end the lock is retired: nobody gets it any more.
///
/// Invariants (docs/concurrency.md):
///   X1  At most one party holds it: the owner, one other, or whoever has retired it.
///   X2  What a party did while it held the lock happened before the next one holds it.
///   X3  It is retired at most once, and stays so.
///
/// Thread safety: lock and unlock from the owning thread only, not within each other; the rest from any
/// thread.
class BiasedLock {
 public:
  BiasedLock() = default;
  BiasedLock(const BiasedLock&) = delete;
  BiasedLock& operator=(const BiasedLock&) = delete;

  /// Waits for another holder, whose work is short. False when the lock is retired.
  [[nodiscard]] bool lock() noexcept {
    // relaxed: only the owner writes it.
    assert(!inside_.load(std::memory_order_relaxed) && "an operation inside another one on the same thread");
    announce(inside_, true);
    // seq_cst: F1 with the compare-exchange in try_claim and retire. As an acquire it pairs with the release
    // in unclaim (X2).
    if (claim_.load(std::memory_order_seq_cst) == Claim::none) [[likely]]
      return true;
    return lock_slow();
  }
  void unlock() noexcept {
    // release: pairs with the load in owner_is_inside (X2).
    inside_.store(false, std::memory_order_release);
  }

  /// Without waiting: false when somebody holds it, and when it is retired.
  [[nodiscard]] bool try_claim() noexcept;
  void unclaim() noexcept {
    // release: pairs with the owner's load in lock and with the next claim (X2).
    claim_.store(Claim::none, std::memory_order_release);
  }
  /// Waits for the holder and keeps the lock for good; false if somebody else has retired it.
  [[nodiscard]] bool retire() noexcept;
  /// The same from the owning thread, which is not inside: without a fence.
  [[nodiscard]] bool retire_by_owner() noexcept;
  bool retired() const noexcept {
    // relaxed: retired is final, and says nothing about what retiring did.
    return claim_.load(std::memory_order_relaxed) == Claim::retired;
  }

 private:
  enum class Claim : std::uint8_t { none, taken, retired };
  bool lock_slow() noexcept;
  bool owner_is_inside() const noexcept {
    // seq_cst: F1 with the owner's announcement. As an acquire it pairs with the release in unlock (X2).
    return inside_.load(std::memory_order_seq_cst);
  }

  atomic<bool> inside_{false};  // written by the owner alone
  atomic<Claim> claim_{Claim::none};
};

}  // namespace millrace::sync
