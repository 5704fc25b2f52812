// Who has which stream of the pool.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include <millrace/device.h>

#include "device/status.h"
#include "sync/clock.h"
#include "sync/mutex.h"

namespace millrace {

/// Counts the holders of each slot. Slot 0, the default stream, is anybody's at any time: it is never
/// leased, but for where there is no other slot to share.
///
/// Invariants (docs/concurrency/streams.md):
///   S6  A slot is free, held, or being tidied up after its last holder; only a free slot is handed out
///       to somebody alone.
///
/// Thread safety: all members from any thread. The mutex is taken alone.
class LeaseTable {
 public:
  LeaseTable(int slots, ExhaustionPolicy policy, std::chrono::nanoseconds timeout);

  /// A slot for one more holder, as the policy says. May wait only if asked to; then as the policy wait,
  /// else as fail. Failures: PoolExhausted, TimedOut, Closed.
  Status acquire(bool may_wait, int* slot) EXCLUDES(mutex_);
  /// A holder leaves. True for the last one, who tidies up and then calls add_free.
  [[nodiscard]] bool release(int slot) noexcept EXCLUDES(mutex_);
  void add_free(int slot) noexcept EXCLUDES(mutex_);
  /// From here on acquire fails with Closed, also for those who are waiting.
  void close() noexcept EXCLUDES(mutex_);

  /// Fills in leased, leases and shared_leases.
  void add_stats(StreamStats& stats) const EXCLUDES(mutex_);

 private:
  enum class Slot : std::uint8_t { free, held, leaving };
  bool take_free(int* slot) noexcept REQUIRES(mutex_);
  void share(int* slot) noexcept REQUIRES(mutex_);

  const ExhaustionPolicy policy_;
  const std::chrono::nanoseconds timeout_;
  mutable sync::Mutex mutex_;
  sync::ConditionVariable returned_;  // free_ is not empty or closed_ was set
  std::vector<int> holders_ GUARDED_BY(mutex_);
  std::vector<Slot> states_ GUARDED_BY(mutex_);
  std::vector<int> free_ GUARDED_BY(mutex_);
  std::size_t next_shared_ GUARDED_BY(mutex_) = 1;
  std::uint64_t leases_ GUARDED_BY(mutex_) = 0;
  std::uint64_t shared_leases_ GUARDED_BY(mutex_) = 0;
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace millrace
