// std::counting_semaphore.
#pragma once

#include <chrono>
#include <cstddef>
#include <limits>

#include "interleave/clock.h"
#include "interleave/detail/runtime.h"

namespace interleave {

/// Releasing and acquiring one are acquire-release; who gets what is released is explored in all ways. A
/// count below zero or above LeastMax, at first or by a release, is a misuse.
///
/// Thread safety: all members from any thread.
template <std::ptrdiff_t LeastMax = std::numeric_limits<int>::max()>
class counting_semaphore {
 public:
  constexpr explicit counting_semaphore(std::ptrdiff_t count, Where where = Where::current()) noexcept
      : count_(count) {
    if (count < 0 || count > LeastMax) detail::semaphore_misused(count, LeastMax, where);
    if (!std::is_constant_evaluated()) detail::construct(cell_, where);
  }
  constexpr ~counting_semaphore() {
    if (!std::is_constant_evaluated()) detail::destroy(cell_, {});
  }
  counting_semaphore(const counting_semaphore&) = delete;
  counting_semaphore& operator=(const counting_semaphore&) = delete;

  static constexpr std::ptrdiff_t max() noexcept { return LeastMax; }

  void acquire(Where where = Where::current()) { detail::semaphore_acquire(cell_, initial(), where); }
  /// False only when the count is zero.
  bool try_acquire(Where where = Where::current()) {
    return detail::semaphore_try_acquire(cell_, initial(), where);
  }
  template <typename Rep, typename Period>
  bool try_acquire_for(std::chrono::duration<Rep, Period> time, Where where = Where::current()) {
    return try_acquire_until(clock::after(time), where);
  }
  bool try_acquire_until(clock::time_point deadline, Where where = Where::current()) {
    if (detail::semaphore_try_acquire(cell_, initial(), where)) return true;
    detail::clock_reached(deadline.time_since_epoch().count());
    return false;
  }
  void release(std::ptrdiff_t count = 1, Where where = Where::current()) {
    detail::semaphore_release(cell_, initial(), count, LeastMax, where);
  }

 private:
  std::uint64_t initial() const noexcept { return static_cast<std::uint64_t>(count_); }

  detail::Cell cell_;
  std::ptrdiff_t count_;
};

using binary_semaphore = counting_semaphore<1>;

}  // namespace interleave
