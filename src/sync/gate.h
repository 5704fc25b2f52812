// The one way into something that can be closed, and the one way to close it.
#pragma once

#include <cstdint>

#include "sync/atomic.h"
#include "sync/mutex.h"

namespace millrace::sync {

/// The one way into something that can be closed: a device.
///
/// Operations enter, work and leave; closing lets nobody in any more and returns when the last one
/// has left. A gate closes once and stays closed.
///
/// "Is it open" and "how many are inside" are one word on purpose. As two (raise the counter, then
/// look at the flag; lower the flag, then look at the counter) each side can miss the other's write
/// unless all four accesses are sequentially consistent, and the closer then tears down what the
/// enterer is about to use. docs/concurrency.md shows that execution.
///
/// Invariants (docs/concurrency.md):
///   G1  After close_and_wait returns, no Pass of this gate is alive and none will be.
///   G2  What happened before a Pass ended happened before close_and_wait returned.
///   G3  leave touches the gate no more once the closer may return, so the closer may destroy it.
///
/// Thread safety: enter and Pass from any thread at any time before destruction; close_and_wait from
/// any thread, also several at once. A thread that holds a Pass must not close (it would wait for
/// itself): the device refuses that by name before it gets here.
class Gate {
 public:
  /// The right to be inside; ends with its scope. Empty when the gate was closed.
  class [[nodiscard]] Pass {
   public:
    Pass() = default;
    Pass(Pass&& other) noexcept : gate_(other.gate_) { other.gate_ = nullptr; }
    Pass& operator=(Pass&&) = delete;
    ~Pass() {
      if (gate_ != nullptr) gate_->leave();
    }
    explicit operator bool() const { return gate_ != nullptr; }

   private:
    friend class Gate;
    explicit Pass(Gate* gate) : gate_(gate) {}
    Gate* gate_ = nullptr;
  };

  Gate() = default;
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  /// Never blocks. Cost when open: one read-modify-write of the gate's own cache line.
  Pass enter() {
    // acquire: pairs with the release of whoever published the guarded object.
    const std::uint64_t before = word_.fetch_add(kOne, std::memory_order_acquire);
    if ((before & kClosed) == 0) return Pass(this);
    leave();  // Our addition may be what the closer waits for: take it back the slow way.
    return {};
  }

  /// Closes the gate and waits until all who entered have left. Blocks without bound.
  void close_and_wait() {
    // acq_rel: release so that whoever is refused sees why; acquire as the first half of G2.
    word_.fetch_or(kClosed, std::memory_order_acq_rel);
    UniqueLock lock(closing_);
    // acquire: pairs with the release in leave (G2).
    while (word_.load(std::memory_order_acquire) != kClosed) drained_.wait(lock);
  }

 private:
  static constexpr std::uint64_t kClosed = 1;  // bit 0
  static constexpr std::uint64_t kOne = 2;     // bits 1 to 63 count those inside

  void leave() {
    std::uint64_t word = word_.load(std::memory_order_relaxed);  // the exchange below decides
    while ((word & kClosed) == 0) {
      // release: pairs with the acquire in close_and_wait (G2). Success means that nobody was
      // closing, so there is nobody to wake and the gate is not touched again (G3).
      if (word_.compare_exchange_weak(word, word - kOne, std::memory_order_release,
                                      std::memory_order_relaxed)) {
        return;
      }
    }
    // Somebody is closing. The mutex is held across the decrement and the wake-up: the closer sees
    // zero only after taking it, hence after our last touch (G3).
    LockGuard lock(closing_);
    if (word_.fetch_sub(kOne, std::memory_order_release) == (kOne | kClosed)) drained_.notify_all();
  }

  atomic<std::uint64_t> word_{0};
  Mutex closing_;              // orders the last decrements with the closers' waiting
  ConditionVariable drained_;  // word_ became kClosed; waited for under closing_
};

}  // namespace millrace::sync
