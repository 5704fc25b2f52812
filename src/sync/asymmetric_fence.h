// Ordering whose cost is all on the side that needs it rarely.
#pragma once

#include "sync/atomic.h"

namespace millrace::sync {

namespace detail {
// Set before the first use by prepare_asymmetric_fences, and never after.
inline constinit atomic<bool> fences_are_asymmetric{false};
}  // namespace detail

/// Asks the system for the means (Linux: membarrier). Where it has none, announce pays for the order itself.
///
/// Thread safety: any thread, but before any other call in this file: a device's constructor makes it.
void prepare_asymmetric_fences() noexcept;

/// Stores a value that heavy_fence makes visible before the caller's later loads: a plain store where fences
/// are asymmetric, else an exchange. The loads that have to come after it are written as seq_cst.
///
/// Invariant (docs/concurrency.md):
///   F1  If one thread announces a value and then loads a word, and another writes that word with seq_cst,
///       calls heavy_fence and then loads what was announced with seq_cst, at least one sees the other's.
///
/// Thread safety: any thread.
template <typename T>
void announce(atomic<T>& word, T value, [[maybe_unused]] Where where = Where::current()) noexcept {
  // relaxed: written before anything is announced.
  if (detail::fences_are_asymmetric.load(std::memory_order_relaxed, where)) [[likely]] {
    // relaxed: heavy_fence orders it (F1), as long as the compiler leaves it in its place.
    word.store(value, std::memory_order_relaxed, where);
    sync::compiler_fence(where);
  } else {
    // seq_cst: F1 is store buffering; in one order of all four accesses both loads can't come first.
    static_cast<void>(word.exchange(value, std::memory_order_seq_cst, where));
  }
}

/// The other half of F1: every thread of the process passes a full fence before it returns, which takes
/// microseconds, more with more running threads. Nothing to do where announce pays for the order.
///
/// Thread safety: any thread.
void heavy_fence([[maybe_unused]] Where where = Where::current()) noexcept;

}  // namespace millrace::sync
