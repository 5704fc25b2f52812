// Who has which stream of the pool.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <millrace/device.h>

#include "device/context.h"
#include "device/status.h"
#include "sync/atomic.h"
#include "sync/clock.h"
#include "sync/mutex.h"

namespace millrace {

class StreamPool;

/// A stream as long as one lease of it lasts.
struct StreamId {
  int slot = -1;
  std::uint32_t generation = 0;
};

/// A thread's own stream, leased when it is first asked for, and the slot of a lease that the thread has
/// ended: it serves the thread's next lease without touching anything shared, or anybody's who finds no
/// other.
///
/// Thread safety: whoever holds the context.
class alignas(sync::kInterference) LeasePart final : public ContextPart {
 public:
  explicit LeasePart(StreamPool& pool) noexcept : pool_(pool) {}
  void retire() noexcept override;
  void fold() noexcept override;
  /// Slot -1 before the lease.
  StreamId stream() const noexcept { return stream_; }

 private:
  friend class LeaseTable;
  friend class StreamPool;
  /// -1 when nothing is parked.
  int take_parked() noexcept {
    // relaxed: the context is held.
    const int slot = parked_.load(std::memory_order_relaxed);
    if (slot >= 0) parked_.store(-1, std::memory_order_relaxed);
    return slot;
  }

  StreamPool& pool_;
  StreamId stream_;
  sync::atomic<int> parked_{-1};           // written by the context's holder; a hint for others
  sync::atomic<std::uint64_t> leases_{0};  // served from parked_; written by the context's holder
};

/// The slots that nobody has, but for those parked with threads. Slot 0, the default stream, is anybody's at
/// any time: it is never leased, but for where there is no other slot to share.
///
/// Invariants (docs/concurrency/streams.md):
///   S6  A slot is free here, parked with one thread, held, or being tidied up after its last holder; only a
///       free or a parked one is handed out to somebody alone.
///   S10 Nobody waits for a slot while one is parked: a thread that waits takes back what was parked before
///       it said so, and from then on nothing is parked.
///
/// Thread safety: all members from any thread. The mutex is taken alone.
class LeaseTable {
 public:
  struct Kind {
    const char* what;    ///< "streams of the pool"
    const char* option;  ///< what makes more of them
    bool may_share = false;
    bool parked = false;  ///< threads keep one
  };
  LeaseTable(Core& core, int first_slot, int slots, ExhaustionPolicy policy,
             std::chrono::milliseconds timeout, const Kind& kind);

  /// A slot for one holder alone; -1 where the policy is to share one that others hold. May wait only if
  /// asked to; then as the policy wait, else as fail. The caller holds no context. Failures: PoolExhausted,
  /// TimedOut, Closed.
  Status acquire(bool may_wait, int* slot) EXCLUDES(mutex_);
  void add_free(int slot) noexcept EXCLUDES(mutex_);
  /// Keeps a slot with the thread whose context the caller holds. False, and the slot is the caller's still,
  /// when the thread has one or somebody waits.
  [[nodiscard]] bool park(LeasePart& part, int slot) noexcept;
  /// From here on acquire fails with Closed, also for those who are waiting.
  void close() noexcept EXCLUDES(mutex_);

 private:
  bool take_free(int* slot) noexcept REQUIRES(mutex_);
  /// False when there is none; status says whether that is because the device closes.
  bool try_free(int* slot, Status* status) EXCLUDES(mutex_);
  Status wait_for_free(int* slot) EXCLUDES(mutex_);
  /// Makes what is parked with threads free, once their owners are out of their contexts.
  void take_back_parked() noexcept EXCLUDES(mutex_);
  Status exhausted(ErrorCode code, const std::string& advice) const;

  alignas(sync::kInterference) sync::Mutex mutex_;
  sync::ConditionVariable returned_;  // free_ is not empty or closed_ was set
  std::vector<int> free_ GUARDED_BY(mutex_);
  bool closed_ GUARDED_BY(mutex_) = false;

  // Read by every park, and hardly ever written.
  alignas(sync::kInterference) sync::atomic<int> waiting_{0};  // threads in wait_for_free
  Core& core_;
  const int slots_;
  const Kind kind_;
  const ExhaustionPolicy policy_;
  const std::chrono::milliseconds timeout_;
};

}  // namespace millrace
