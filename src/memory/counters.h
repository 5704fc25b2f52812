// Exact accounting without a shared cache line: one writer a counter, summed by readers.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>

#include "sync/atomic.h"

namespace millrace {

/// A figure that goes up and down and has one writer at a time.
///
/// Thread safety: value from any thread; the rest from one at a time.
class ByteGauge {
 public:
  std::size_t value() const noexcept { return bytes_.load(std::memory_order_relaxed); }  // one figure
  void add(std::size_t bytes) noexcept { bytes_.store(value() + bytes, std::memory_order_relaxed); }
  void subtract(std::size_t bytes) noexcept {
    assert(bytes <= value() && "accounting: more taken away than there was (M4)");
    bytes_.store(value() - bytes, std::memory_order_relaxed);
  }

 private:
  sync::atomic<std::size_t> bytes_{0};
};

/// Totals that only grow: what a context's holder allocated and freed.
struct Totals {
  std::uint64_t allocated_bytes = 0;
  std::uint64_t freed_bytes = 0;
  std::uint64_t allocations = 0;
  std::uint64_t frees = 0;
  // Of these, what was of large blocks.
  std::uint64_t large_allocated_bytes = 0, large_freed_bytes = 0;
  std::uint64_t large_allocations = 0, large_frees = 0;
  /// Of what was allocated, what Device::note_requested said was not asked for, in bytes. Sums modulo 2^64:
  /// one thread may take back what another one said.
  std::uint64_t small_unasked = 0, large_unasked = 0;

  void operator+=(const Totals& other) noexcept {
    allocated_bytes += other.allocated_bytes;
    freed_bytes += other.freed_bytes;
    allocations += other.allocations;
    frees += other.frees;
    large_allocated_bytes += other.large_allocated_bytes;
    large_freed_bytes += other.large_freed_bytes;
    large_allocations += other.large_allocations;
    large_frees += other.large_frees;
    small_unasked += other.small_unasked;
    large_unasked += other.large_unasked;
  }
};

/// One context's counters, on cache lines of their own.
///
/// A reader who sums the frees of all contexts before the allocations of any never sees more freed
/// than allocated: a free that it counts happened after its allocation, which it therefore counts too.
///
/// Invariants (docs/concurrency.md):
///   M4  For sums read in that order, freed <= allocated.
///
/// Thread safety: on_allocate and on_free by the context's holder; reading from any thread.
class alignas(sync::kCacheLine) Counters {
 public:
  void on_allocate(std::size_t bytes) noexcept {
    sync::add_single_writer(allocated_bytes_, static_cast<std::uint64_t>(bytes));
    sync::add_single_writer(allocations_, std::uint64_t{1});
  }
  void on_free(std::size_t bytes) noexcept {
    sync::add_single_writer(freed_bytes_, static_cast<std::uint64_t>(bytes));
    sync::add_single_writer(frees_, std::uint64_t{1});
  }
  /// Besides, and after them, of a large block.
  void on_allocate_large(std::size_t bytes) noexcept {
    sync::add_single_writer(large_allocated_bytes_, static_cast<std::uint64_t>(bytes));
    sync::add_single_writer(large_allocations_, std::uint64_t{1});
  }
  void on_free_large(std::size_t bytes) noexcept {
    sync::add_single_writer(large_freed_bytes_, static_cast<std::uint64_t>(bytes));
    sync::add_single_writer(large_frees_, std::uint64_t{1});
  }

  /// For the context's holder.
  std::uint64_t allocations() const noexcept { return allocations_.load(std::memory_order_relaxed); }
  // acquire: pairs with the release in add_single_writer (M4). The large ones first, which are never more
  // then.
  void add_freed_to(Totals& totals) const noexcept {
    totals.large_freed_bytes += large_freed_bytes_.load(std::memory_order_acquire);
    totals.large_frees += large_frees_.load(std::memory_order_acquire);
    totals.freed_bytes += freed_bytes_.load(std::memory_order_acquire);
    totals.frees += frees_.load(std::memory_order_acquire);
  }
  void add_allocated_to(Totals& totals) const noexcept {
    totals.large_allocated_bytes += large_allocated_bytes_.load(std::memory_order_acquire);
    totals.large_allocations += large_allocations_.load(std::memory_order_acquire);
    totals.allocated_bytes += allocated_bytes_.load(std::memory_order_acquire);
    totals.allocations += allocations_.load(std::memory_order_acquire);
  }

 private:
  sync::atomic<std::uint64_t> allocated_bytes_{0};
  sync::atomic<std::uint64_t> freed_bytes_{0};
  sync::atomic<std::uint64_t> allocations_{0};
  sync::atomic<std::uint64_t> frees_{0};
  sync::atomic<std::uint64_t> large_allocated_bytes_{0}, large_freed_bytes_{0};
  sync::atomic<std::uint64_t> large_allocations_{0}, large_frees_{0};
};

static_assert(!sync::kIsLaidOut ||
                  (alignof(Counters) == sync::kCacheLine && sizeof(Counters) == sync::kCacheLine),
              "two threads' counters must not share a cache line");

}  // namespace millrace
