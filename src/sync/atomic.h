// Atomics without default memory orders: the order is part of the algorithm, so it is written out.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "sync/base.h"

namespace millrace::sync {

inline constexpr std::size_t kCacheLine = 64;
/// How far apart two threads can write without slowing each other down: processors fetch lines in pairs.
inline constexpr std::size_t kInterference = 2 * kCacheLine;

using base::Where;
using std::memory_order_acq_rel;
using std::memory_order_acquire;
using std::memory_order_relaxed;
using std::memory_order_release;
using std::memory_order_seq_cst;

/// std::atomic, less the overloads that default to sequential consistency and the operators that hide
/// a read-modify-write.
///
/// Thread safety: all members from any thread; construction and destruction are not atomic.
template <typename T>
class atomic {
 public:
  constexpr atomic([[maybe_unused]] Where where = Where::current()) noexcept  // NOLINT: as std's
      : value_(T() MILLRACE_AND(where)) {}
  constexpr explicit atomic(T value, [[maybe_unused]] Where where = Where::current()) noexcept
      : value_(value MILLRACE_AND(where)) {}
  atomic(const atomic&) = delete;
  atomic& operator=(const atomic&) = delete;

  T load(std::memory_order order, [[maybe_unused]] Where where = Where::current()) const noexcept {
    return value_.load(order MILLRACE_AND(where));
  }
  void store(T value, std::memory_order order, [[maybe_unused]] Where where = Where::current()) noexcept {
    value_.store(value, order MILLRACE_AND(where));
  }
  T exchange(T value, std::memory_order order, [[maybe_unused]] Where where = Where::current()) noexcept {
    return value_.exchange(value, order MILLRACE_AND(where));
  }
  bool compare_exchange_weak(T& expected, T desired, std::memory_order success, std::memory_order failure,
                             [[maybe_unused]] Where where = Where::current()) noexcept {
    return value_.compare_exchange_weak(expected, desired, success, failure MILLRACE_AND(where));
  }
  bool compare_exchange_strong(T& expected, T desired, std::memory_order success, std::memory_order failure,
                               [[maybe_unused]] Where where = Where::current()) noexcept {
    return value_.compare_exchange_strong(expected, desired, success, failure MILLRACE_AND(where));
  }
  T fetch_add(T value, std::memory_order order, [[maybe_unused]] Where where = Where::current()) noexcept {
    return value_.fetch_add(value, order MILLRACE_AND(where));
  }
  T fetch_sub(T value, std::memory_order order, [[maybe_unused]] Where where = Where::current()) noexcept {
    return value_.fetch_sub(value, order MILLRACE_AND(where));
  }
  T fetch_or(T value, std::memory_order order, [[maybe_unused]] Where where = Where::current()) noexcept {
    return value_.fetch_or(value, order MILLRACE_AND(where));
  }
  T fetch_and(T value, std::memory_order order, [[maybe_unused]] Where where = Where::current()) noexcept {
    return value_.fetch_and(value, order MILLRACE_AND(where));
  }

 private:
  base::atomic<T> value_;
};

/// Are objects laid out as their declarations say? A model checker's atomics are larger.
inline constexpr bool kIsLaidOut = sizeof(atomic<std::uint64_t>) == sizeof(std::uint64_t);

/// Keeps the compiler from moving memory accesses across. Threads are ordered by something else: see
/// asymmetric_fence.h.
inline void compiler_fence([[maybe_unused]] Where where = Where::current()) noexcept {
  base::compiler_fence(where);
}

/// Adds to a counter that only the calling thread writes: no locked instruction.
/// release: pairs with the acquire of whoever sums the counters.
template <typename T>
void add_single_writer(atomic<T>& counter, T amount,
                       [[maybe_unused]] Where where = Where::current()) noexcept {
  counter.store(counter.load(std::memory_order_relaxed, where) + amount, std::memory_order_release, where);
}

/// Raises a shared maximum.
template <typename T>
void raise_to(atomic<T>& maximum, T value, [[maybe_unused]] Where where = Where::current()) noexcept {
  // relaxed: a maximum is a statistic and publishes nothing else.
  T seen = maximum.load(std::memory_order_relaxed, where);
  while (seen < value && !maximum.compare_exchange_weak(seen, value, std::memory_order_relaxed,
                                                        std::memory_order_relaxed, where)) {
  }
}

}  // namespace millrace::sync
