// How far a stream's work has come.
#pragma once

#include <cstdint>

#include "sync/atomic.h"

namespace millrace {

/// Four counters of a stream that only grow. A value names a segment of recorded work; each number says
/// up to which value something is true of all of them.
///
/// On a wrapped stream others put work without telling, so that what was recorded says nothing of it: only a
/// value that is begun from now on covers it.
///
/// Invariants (docs/concurrency/streams.md):
///   S1  completed <= submitted <= committed <= last_used, and none ever shrinks.
///   S2  What a segment did happened before completed() returned its value or more.
///   S3  A segment's submission happened before submitted() returned its value or more.
///   S12 Once covering() is reached, all is done that was on the stream when it was asked for, whoever put it
///       there; and something is submitted with that value or a later one, if it is asked for
///       (StreamState::want_mark) or the lease ends.
///
/// Thread safety: reading from any thread; writing under the stream's mutex.
class Timeline {
 public:
  /// The value of the newest segment in which anything was recorded; 0 at first.
  std::uint64_t last_used() const noexcept {
    // relaxed: who must see a recording is ordered after it by the program, and coherence does the rest.
    return used_.load(std::memory_order_relaxed) >> kValueShift;
  }
  /// What has to be reached before nothing that is on the stream now uses memory any more.
  std::uint64_t covering() const noexcept {
    // acquire: pairs with the release in set_used. Value and flag are one word: read in turn they could be of
    // before and of after the end of a lease, which then nothing covers (S12).
    const std::uint64_t used = used_.load(std::memory_order_acquire);
    return (used >> kValueShift) + (used & kOthers);
  }
  /// May something that was recorded come on a wrapped stream after what others put there from now on?
  bool trails() const noexcept {
    // relaxed: who frees memory is ordered after who recorded work on it.
    const std::uint64_t used = used_.load(std::memory_order_relaxed);
    if ((used & kOthers) == 0) [[likely]]
      return false;
    return used >> kValueShift != submitted() || held_.load(std::memory_order_relaxed) > completed();
  }
  /// Do others put work on it?
  bool is_wrapped() const noexcept {
    return (used_.load(std::memory_order_relaxed) & kOthers) != 0;  // relaxed: as above
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

  static constexpr std::uint64_t kOthers = 1;  // bit 0: they put work on it
  static constexpr int kValueShift = 1;        // above it: last_used

  void set_last_used(std::uint64_t value) noexcept { set_used(value, is_wrapped()); }
  void set_others(bool others) noexcept { set_used(last_used(), others); }
  void set_used(std::uint64_t value, bool others) noexcept {
    // release: pairs with the acquire in covering.
    used_.store(value << kValueShift | (others ? kOthers : 0), std::memory_order_release);
  }
  void set_held(std::uint64_t value) noexcept { held_.store(value, std::memory_order_relaxed); }
  // relaxed: as the readers'.
  void set_committed(std::uint64_t value) noexcept { committed_.store(value, std::memory_order_relaxed); }
  // release: pairs with the acquire in submitted (S3).
  void set_submitted(std::uint64_t value) noexcept { submitted_.store(value, std::memory_order_release); }
  // release: pairs with the acquire in completed (S2).
  void set_completed(std::uint64_t value) noexcept { completed_.store(value, std::memory_order_release); }

  sync::atomic<std::uint64_t> used_{0};
  sync::atomic<std::uint64_t> committed_{0};
  sync::atomic<std::uint64_t> submitted_{0};
  sync::atomic<std::uint64_t> completed_{0};
  sync::atomic<std::uint64_t> held_{
      0};  // wrapped: the newest value that the backend did not put on it at once
};

}  // namespace millrace
