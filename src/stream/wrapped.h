// Who has which of the streams that somebody else made.
#pragma once

#include <cstdint>
#include <vector>

#include "device/backend.h"
#include "sync/annotations.h"
#include "sync/mutex.h"

namespace millrace {

class StreamPool;
struct StreamId;

/// The slots of a pool that stand for streams of the driver's which others made and put work on. A slot is
/// one of them as long as a lease of it lasts, and keeps the memory that was allocated for it: the stream
/// that it stands for next runs after all that was put on the one before.
///
/// Invariants (docs/concurrency/streams.md):
///   S13 As long as a lease lasts, a driver's stream is one slot, and a slot is one driver's stream: by what
///       the backend identifies it by, which is its handle only where that can't become another stream's.
///
/// Thread safety: all members from any thread.
class WrappedStreams {
 public:
  WrappedStreams(StreamPool& pool, int first_slot, int slots);

  /// identity: as the backend has it. Throws PoolExhausted, and as Backend::wrap.
  StreamId lease(void* stream, const StreamIdentity& identity, const char* call) EXCLUDES(mutex_);
  /// A holder leaves. After the last one nothing that others put on the stream is seen any more. What was
  /// committed and waits for work that was not is given up; blocks until all else is on the stream, so that
  /// its owner may destroy it: not on the device's own threads, nor while the stream is being captured.
  void end(int slot) noexcept EXCLUDES(mutex_);
  /// The driver's, of the stream that the slot stands for; 0 where nobody has asked for it.
  std::uint64_t number_of(int slot) noexcept EXCLUDES(mutex_) {
    sync::LockGuard lock(mutex_);
    return slots_[index_of(slot)].identity.number.value_or(0);
  }

 private:
  struct Slot {
    StreamIdentity identity;  // of the stream that it stands for, also when nobody holds it
    std::uint64_t turn = 0;   // how many it has stood for
  };
  int slot_of(std::size_t index) const noexcept { return first_slot_ + static_cast<int>(index); }
  std::size_t index_of(int slot) const noexcept { return static_cast<std::size_t>(slot - first_slot_); }
  bool is_held(std::size_t index) const noexcept;
  /// Is all on the stream that was recorded in its ended lease, or can't be put there?
  bool is_put(int slot, std::uint64_t turn) noexcept EXCLUDES(mutex_);
  /// Makes the slot the stream, if it can stand for another one now. Throws as Backend::wrap.
  bool try_take(std::size_t index, void* stream, const StreamIdentity& identity, const char* call)
      REQUIRES(mutex_);

  StreamPool& pool_;
  const int first_slot_;
  sync::Mutex mutex_;  // who begins and ends leases; taken before the order mutex and any stream's
  std::vector<Slot> slots_ GUARDED_BY(mutex_);
  std::size_t next_ GUARDED_BY(mutex_) = 0;  // where to look for another one: the longest unused, roughly
};

}  // namespace millrace
