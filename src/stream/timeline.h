// How far a stream's work has come.
#pragma once

#include <cstdint>

#include "sync/atomic.h"

namespace millrace {

/// Four counters of a stream that only grow. A value names a segment of recorded work; each number says
/// up to which value something is true of all of them.
///
/// Invariants (docs/concurrency/streams.md):
///   S1  completed <= submitted <= committed <= last_used, and none ever shrinks.
///   S2  What a segment did happened before completed() returned its value or more.
///   S3  A segment's submission happened before submitted() returned its value or more.
///
/// Thread safety: reading from any thread; writing under the stream's mutex.
class Timeline {
 public:
  /// The value of the newest segment in which anything was recorded; 0 at first.
  std::uint64_t last_used() const noexcept {
    // relaxed: who must see a recording is ordered after it by the program, and coherence does the rest.
    return last_used_.load(std::memory_order_relaxed);
  }
  /// Closed for recording: it will be reached whatever happens, unless it waits for work that is not.
  std::uint64_t committed() const noexcept {
    // relaxed: as last_used.
    return committed_.load(std::memory_order_relaxed);
  }
  /// Handed to the device's queue: others may wait for it there.
  std::uint64_t submitted() const noexcept {
    // acquire: pairs with the release in set_submitted (S3).
    return submitted_.load(std::memory_order_acquire);
  }
  /// Done, failed ones too.
  std::uint64_t completed() const noexcept {
    // acquire: pairs with the release in set_completed (S2).
    return completed_.load(std::memory_order_acquire);
  }

 private:
  friend class StreamState;

  // relaxed: as the readers'.
  void set_last_used(std::uint64_t value) noexcept { last_used_.store(value, std::memory_order_relaxed); }
  void set_committed(std::uint64_t value) noexcept { committed_.store(value, std::memory_order_relaxed); }
  // release: pairs with the acquire in submitted (S3).
  void set_submitted(std::uint64_t value) noexcept { submitted_.store(value, std::memory_order_release); }
  // release: pairs with the acquire in completed (S2).
  void set_completed(std::uint64_t value) noexcept { completed_.store(value, std::memory_order_release); }

  sync::atomic<std::uint64_t> last_used_{0};
  sync::atomic<std::uint64_t> committed_{0};
  sync::atomic<std::uint64_t> submitted_{0};
  sync::atomic<std::uint64_t> completed_{0};
};

}  // namespace millrace
