// What the primitives of this folder are made of: the standard library's, or in the flavour `checked` the
// model checker's. It is the one difference between the two (docs/decisions/two-flavours.md).
#pragma once

#include <cstdint>

#if defined(MILLRACE_CHECKED)
#include <iterator>

#include <interleave/interleave.h>
#else
#include <pthread.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#endif

namespace millrace::sync::base {

#if defined(MILLRACE_CHECKED)

/// The line of a call, which reports show. Passed on, alone or behind other arguments; there is none
/// in production.
using interleave::Where;
#define MILLRACE_ONLY(where) where
#define MILLRACE_AND(where) , where

using interleave::atomic, interleave::clock, interleave::condition_variable, interleave::mutex,
    interleave::thread;

namespace detail {
// Of threads 0 to 3 of a run; later ones share them, and then count as ordered among themselves, too.
inline constinit interleave::atomic<unsigned> points[4]{};
}  // namespace detail

/// Where threads are ordered by a fence that the system makes all of them pass at some point (membarrier),
/// each has such points here, and fence_others comes before or after each of them. Without fence_others they
/// order nothing, as in production: a sequentially consistent fence would.
inline void compiler_fence(Where where) noexcept {
  detail::points[interleave::detail::thread_self() % std::size(detail::points)].fetch_add(
      1, std::memory_order_acq_rel, where);
}
inline void fence_others(Where where) noexcept {
  for (interleave::atomic<unsigned>& point : detail::points) {
    point.fetch_add(1, std::memory_order_acq_rel, where);
  }
}
inline void yield(Where where) noexcept {
  interleave::yield(where);
}
inline void sleep_for(std::chrono::nanoseconds time, Where where) {
  interleave::this_thread::sleep_for(time, where);
}
inline thread::id this_thread_id() noexcept {
  return interleave::this_thread_id();
}
inline bool call_in_forked_child(void (*function)()) {
  interleave::at_fork(nullptr, nullptr, function);
  return true;
}
/// A number that no other thread of the run has, from 1.
inline std::uint64_t this_thread_number() noexcept {
  return std::uint64_t{interleave::detail::thread_self()} + 1;
}

#else

struct Where {
  static constexpr Where current() noexcept { return {}; }
};
#define MILLRACE_ONLY(where)
#define MILLRACE_AND(where)

using std::atomic, std::condition_variable, std::mutex, std::thread;
using clock = std::chrono::steady_clock;

inline void compiler_fence(Where) noexcept {
  std::atomic_signal_fence(std::memory_order_seq_cst);
}
inline void yield(Where) noexcept {
  std::this_thread::yield();
}
inline void sleep_for(std::chrono::nanoseconds time, Where) {
  std::this_thread::sleep_for(time);
}
inline thread::id this_thread_id() noexcept {
  return std::this_thread::get_id();
}
inline bool call_in_forked_child(void (*function)()) noexcept {
  return pthread_atfork(nullptr, nullptr, function) == 0;
}
/// A number that no other thread of the process ever has, from 1.
inline std::uint64_t this_thread_number() noexcept {
  // relaxed: only uniqueness matters.
  static constinit atomic<std::uint64_t> next{1};
  static thread_local const std::uint64_t number = next.fetch_add(1, std::memory_order_relaxed);
  return number;
}

#endif

}  // namespace millrace::sync::base
