// A thread's own state on a device, held by one party at a time.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "sync/atomic.h"
#include "sync/biased_lock.h"
#include "sync/ref.h"

namespace millrace {

class Context;
namespace detail {
class Core;
}
using detail::Core;

/// The layers that keep state on a device and in each thread's context, in the order in which they
/// are built; they are torn down in reverse.
enum class LayerId : std::uint8_t { streams, events, memory, pinned };
inline constexpr std::size_t kLayerCount = 4;

/// What one layer keeps in a context.
class ContextPart {
 public:
  virtual ~ContextPart() = default;
  /// Gives back whatever the part holds: the thread or the device ends. Called once, by whoever
  /// holds the context; the part is used no more but for fold.
  virtual void retire() noexcept = 0;
  /// Adds the part's counters to the device's, in the same critical section in which the context
  /// leaves the list that readers sum: they count it exactly once.
  virtual void fold() noexcept {}
};

/// Its lock is biased to the owning thread, so that an operation pays for no locked instruction.
///
/// Invariants (docs/concurrency.md), X1 to X3 those of the lock:
///   X1  At most one party holds a context: the thread itself, another one that flushes it, or whoever has
///       retired it.
///   X2  What a party did while it held a context happened before the next one holds it.
///   X3  A context is retired exactly once, by its ending thread or by the closing device.
///   X4  Nobody waits for a context while holding another one.
///
/// Thread safety: hold from the owning thread only; try_steal and try_retire from any thread. Parts are
/// used by whoever holds the context.
class alignas(sync::kInterference) Context {
 public:
  /// It is held for less, unless its thread is preempted.
  static constexpr std::chrono::microseconds kOperation{50};

  /// For the length of an operation: the owner's, or another thread's. Empty when it was not to be had.
  class [[nodiscard]] Hold {
   public:
    Hold() = default;
    Hold(Hold&& other) noexcept : lock_(std::exchange(other.lock_, nullptr)), of_owner_(other.of_owner_) {}
    Hold& operator=(Hold&&) = delete;
    ~Hold() { leave(); }
    explicit operator bool() const noexcept { return lock_ != nullptr; }
    /// Ends the hold early: to wait, or to run code of the user's.
    void leave() noexcept {
      sync::BiasedLock* lock = std::exchange(lock_, nullptr);
      if (lock == nullptr) return;
      of_owner_ ? lock->unlock() : lock->unclaim();
    }

   private:
    friend class Context;
    Hold(sync::BiasedLock* lock, bool of_owner) noexcept : lock_(lock), of_owner_(of_owner) {}
    sync::BiasedLock* lock_ = nullptr;
    bool of_owner_ = false;
  };

  Context(sync::Ref<Core> core, std::uint64_t thread);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  Core& core() const noexcept { return *core_; }
  /// The library's number of the owning thread.
  std::uint64_t thread() const noexcept { return thread_; }

  /// The owner's. Waits for another holder, whose work is short; empty when the context is retired.
  Hold hold() noexcept { return {lock_.lock() ? &lock_ : nullptr, true}; }
  /// For another thread, if nobody has it; empty otherwise. Never waits (X4).
  Hold try_steal() noexcept { return {lock_.try_claim() ? &lock_ : nullptr, false}; }
  /// Waits for the holder, then takes the context for good; false if somebody else had done so.
  [[nodiscard]] bool try_retire() noexcept { return lock_.retire(); }
  /// The same for the owning thread.
  [[nodiscard]] bool try_retire_own() noexcept { return lock_.retire_by_owner(); }
  bool retired() const noexcept { return lock_.retired(); }

  ContextPart* part(LayerId layer) const noexcept { return parts_[static_cast<std::size_t>(layer)].get(); }
  void set_part(LayerId layer, std::unique_ptr<ContextPart> part) noexcept {
    parts_[static_cast<std::size_t>(layer)] = std::move(part);
  }
  /// After try_retire: gives back what the parts hold, the last layer first.
  void retire_parts() noexcept;
  void fold_parts() noexcept;

  /// The stream that a guard has made current on this thread; slot -1 where none has. Owner only.
  struct CurrentStream {
    int slot = -1;
    std::uint32_t generation = 0;
  };
  CurrentStream current_stream;

  /// What the reduce layer remembers of what the thread has asked for; null at first. Owner only.
  std::unique_ptr<ContextPart> requests;

 private:
  sync::BiasedLock lock_;
  const std::uint64_t thread_;
  const sync::Ref<Core> core_;
  std::array<std::unique_ptr<ContextPart>, kLayerCount> parts_;
};

}  // namespace millrace
