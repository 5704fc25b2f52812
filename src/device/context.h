// A thread's own state on a device, held by one party at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "sync/atomic.h"
#include "sync/ref.h"

namespace millrace {

class Context;
namespace detail {
class Core;
}
using detail::Core;

/// The layers that keep state on a device and in each thread's context, in the order in which they
/// are built; they are torn down in reverse.
enum class LayerId : std::uint8_t { streams, events, memory };
inline constexpr std::size_t kLayerCount = 3;

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

/// Invariants (docs/concurrency.md):
///   X1  At most one party holds a context: its word goes from idle to owner (the thread itself),
///       to thief (another thread that flushes it) or to retired, by compare-exchange only.
///   X2  What a party did while it held a context happened before the next one holds it.
///   X3  A context is retired exactly once, by its ending thread or by the closing device.
///   X4  Nobody waits for a context while holding another one.
///
/// Thread safety: hold from the owning thread only; try_steal and retire from any thread. Parts are
/// used by whoever holds the context.
class alignas(sync::kCacheLine) Context {
 public:
  /// The owner's hold, for the length of an operation. Empty when the context is retired.
  class [[nodiscard]] Hold {
   public:
    Hold() = default;
    Hold(Hold&& other) noexcept : context_(std::exchange(other.context_, nullptr)) {}
    Hold& operator=(Hold&&) = delete;
    ~Hold() { leave(); }
    explicit operator bool() const noexcept { return context_ != nullptr; }
    /// Ends the hold early: to wait, or to run code of the user's.
    void leave() noexcept {
      if (context_ == nullptr) return;
      // release: pairs with the acquire of whoever holds it next (X2).
      context_->word_.store(kIdle, std::memory_order_release);
      context_ = nullptr;
    }

   private:
    friend class Context;
    explicit Hold(Context* context) noexcept : context_(context) {}
    Context* context_ = nullptr;
  };

  Context(sync::Ref<Core> core, std::uint64_t thread);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  Core& core() const noexcept { return *core_; }
  /// The library's number of the owning thread.
  std::uint64_t thread() const noexcept { return thread_; }

  /// One uncontended compare-exchange; waits for a thief, whose work is short.
  Hold hold() noexcept {
    std::uint32_t expected = kIdle;
    // acquire: pairs with the release of the last holder (X2).
    if (word_.compare_exchange_strong(expected, kOwner, std::memory_order_acquire, std::memory_order_relaxed))
        [[likely]] {
      return Hold(this);
    }
    return hold_slow();
  }
  /// A hold for another thread, if nobody has one; empty otherwise. Never waits (X4).
  Hold try_steal() noexcept;
  /// Waits for the holder, then takes the context for good; false if somebody else had done so.
  [[nodiscard]] bool try_retire() noexcept;
  bool retired() const noexcept;

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

 private:
  static constexpr std::uint32_t kIdle = 0, kOwner = 1, kThief = 2, kRetired = 3;

  Hold hold_slow() noexcept;

  sync::atomic<std::uint32_t> word_{kIdle};
  const std::uint64_t thread_;
  const sync::Ref<Core> core_;
  std::array<std::unique_ptr<ContextPart>, kLayerCount> parts_;
};

}  // namespace millrace
