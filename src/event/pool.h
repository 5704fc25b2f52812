// The events of a device.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "device/context.h"
#include "device/core.h"
#include "event/slot.h"
#include "sync/mutex.h"

namespace millrace {

class EventPool;

/// Free slots that a thread keeps, so that taking and returning an event touches nothing shared; on cache
/// lines of its own.
///
/// Thread safety: whoever holds the context.
class alignas(sync::kInterference) EventCache final : public ContextPart {
 public:
  explicit EventCache(EventPool& pool) noexcept : pool_(pool) {}
  void retire() noexcept override;

 private:
  friend class EventPool;
  static constexpr std::size_t kSlots = 16;

  EventPool& pool_;
  std::array<std::uint32_t, kSlots> slots_{};
  std::size_t count_ = 0;
};

/// Hands out event slots and takes them back, from a table that grows in chunks and never moves.
///
/// Invariants (docs/concurrency/streams.md):
///   V4  A slot is free, in one thread's cache, or leased to one owner; giving it back with another lease's
///       number does nothing.
///   V5  A chunk is in the table before any of its slots is handed out, and stays there: who has the number
///       of a slot reads the table without a lock.
///
/// Thread safety: all members from any thread.
class EventPool final : public Layer {
 public:
  struct Options {
    std::uint32_t chunk_slots = 256;
    std::uint32_t max_chunks = 4096;
  };
  struct Lease {
    std::uint32_t slot = 0;
    std::uint32_t number = 0;
  };

  explicit EventPool(Core& core, const Options& options);
  explicit EventPool(Core& core) : EventPool(core, Options()) {}

  static EventPool& of(Core& core) noexcept { return static_cast<EventPool&>(core.layer(LayerId::events)); }

  /// From the calling thread's cache, which takes some at once from the pool when it is empty. Throws Closed;
  /// PoolExhausted when the table is full and no thread that is idle has one to spare.
  Lease get(Context& context, const char* call) EXCLUDES(mutex_);
  /// Into the calling thread's cache, or past it where the thread has none (null). Ignored once the device is
  /// closing, and for a lease that has ended.
  void put(Context* context, Lease lease) noexcept EXCLUDES(mutex_);
  /// The driver's event for what the slot marks, which the slot keeps until it is marked again or given back.
  /// Blocks while that is not on the driver's stream. Throws as Event::native.
  void* native(std::uint32_t index, const char* call);
  /// After the slot was marked: returns the driver's event of the marking before, if there is one.
  void return_old_native(EventSlot& marked) noexcept {
    if (marked.has_native()) [[unlikely]]
      return_native(marked.take_native(EventSlot::Which::old));
  }
  EventSlot& slot(std::uint32_t index) const noexcept {
    return chunks_[index / options_.chunk_slots][index % options_.chunk_slots];  // upholds V5
  }

  std::unique_ptr<ContextPart> make_part(Context& context) override;
  void begin_close(CloseMode mode) noexcept override;

 private:
  friend class EventCache;

  /// False when the table is full and all of it is taken.
  bool fill(EventCache& cache, const char* call) EXCLUDES(mutex_);
  /// Takes back all but keep of a cache's slots.
  void drain(EventCache& cache, std::size_t keep) noexcept EXCLUDES(mutex_);
  /// Takes back what other threads' caches hold, of those that are not in use right now.
  void drain_others() noexcept EXCLUDES(mutex_);
  bool grow() REQUIRES(mutex_);
  void return_native(EventSlot::Native native) noexcept;

  Core& core_;
  const Options options_;
  std::vector<std::unique_ptr<EventSlot[]>> chunks_;  // entries are written under mutex_ (V5)
  sync::Mutex mutex_;
  std::uint32_t chunk_count_ GUARDED_BY(mutex_) = 0;
  std::vector<std::uint32_t> free_ GUARDED_BY(mutex_);  // with room for every slot of the table
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace millrace
