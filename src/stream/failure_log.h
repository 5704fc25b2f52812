// Which values of a timeline were reached by failing, and why.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "device/status.h"
#include "sync/atomic.h"
#include "sync/mutex.h"

namespace millrace {

/// The failures of the newest failed command buffers of a stream. Of older ones only the range of their
/// values is kept: from the lowest to the highest forgotten one every value counts as failed, for a reason
/// that is not known any more, unless it has an entry. So no failed value is ever taken for a success; a
/// value that did not fail may be taken for a failure, but only between two forgotten failures.
///
/// Invariants (docs/concurrency/streams.md):
///   S4  The failure of a value is in the log before Timeline::completed says that it was reached.
///
/// Thread safety: all members from any thread; add in order of values. The mutex is a leaf.
class FailureLog {
 public:
  /// forgotten: what the values in the forgotten range get.
  FailureLog(int kept, Status forgotten)
      : forgotten_(std::move(forgotten)), entries_(static_cast<std::size_t>(kept)) {}

  /// Values of one command buffer (its sequence) share an entry.
  void add(std::uint64_t value, std::uint64_t sequence, const Status& status) noexcept EXCLUDES(mutex_) {
    sync::LockGuard lock(mutex_);
    Entry* newest = added_ == 0 ? nullptr : &entries_[(added_ - 1) % entries_.size()];
    if (newest != nullptr && newest->sequence == sequence && newest->last + 1 == value) {
      newest->last = value;
      return;
    }
    Entry& oldest = entries_[added_ % entries_.size()];
    if (added_ >= entries_.size()) {
      if (forgotten_last_ == 0) forgotten_first_ = oldest.first;
      forgotten_last_ = oldest.last;
    }
    oldest = {value, value, sequence, status};
    ++added_;
    // relaxed: S4 has the caller publish it with the timeline.
    any_.store(true, std::memory_order_relaxed);
  }

  /// Of a value that was reached.
  Status find(std::uint64_t value) const noexcept EXCLUDES(mutex_) {
    // relaxed: ordered by the load that said the value was reached (S4).
    if (!any_.load(std::memory_order_relaxed)) [[likely]]
      return {};
    sync::LockGuard lock(mutex_);
    for (const Entry& entry : entries_) {
      if (entry.first <= value && value <= entry.last) return entry.status;
    }
    if (forgotten_first_ <= value && value <= forgotten_last_) return forgotten_;
    return {};
  }

 private:
  struct Entry {
    std::uint64_t first = 1, last = 0;  // none
    std::uint64_t sequence = 0;
    Status status;
  };

  const Status forgotten_;
  sync::atomic<bool> any_{false};
  mutable sync::Mutex mutex_;
  std::vector<Entry> entries_ GUARDED_BY(mutex_);  // a ring
  std::size_t added_ GUARDED_BY(mutex_) = 0;
  std::uint64_t forgotten_first_ GUARDED_BY(mutex_) = 1, forgotten_last_ GUARDED_BY(mutex_) = 0;  // none
};

}  // namespace millrace
