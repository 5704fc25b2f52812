#include "sync/biased_lock.h"

namespace millrace::sync {

bool BiasedLock::lock_slow() noexcept {
  for (;;) {
    unlock();
    Claim claim;
    // acquire: pairs with the release in unclaim (X2).
    while ((claim = claim_.load(std::memory_order_acquire)) == Claim::taken) yield();
    if (claim == Claim::retired) return false;
    announce(inside_, true);
    if (claim_.load(std::memory_order_seq_cst) == Claim::none) return true;  // seq_cst: as in lock
  }
}

bool BiasedLock::try_claim() noexcept {
  if (inside_.load(std::memory_order_relaxed)) return false;  // relaxed: a hint that saves the fence
  Claim expected = Claim::none;
  // seq_cst: F1 with the owner's load in lock. As an acquire it pairs with the release in unclaim (X2).
  if (!claim_.compare_exchange_strong(expected, Claim::taken, std::memory_order_seq_cst,
                                      std::memory_order_relaxed)) {
    return false;
  }
  heavy_fence();
  if (!owner_is_inside()) return true;
  unclaim();
  return false;
}

bool BiasedLock::retire_by_owner() noexcept {
  Claim expected = Claim::none;
  // seq_cst: as in try_claim. X3: retired is never left.
  while (!claim_.compare_exchange_weak(expected, Claim::retired, std::memory_order_seq_cst,
                                       std::memory_order_relaxed)) {
    if (expected == Claim::retired) return false;
    expected = Claim::none;
    yield();
  }
  return true;
}

bool BiasedLock::retire() noexcept {
  if (!retire_by_owner()) return false;
  heavy_fence();
  while (owner_is_inside()) yield();
  return true;
}

}  // namespace millrace::sync
