// std::mutex, std::condition_variable and std::call_once. std::lock_guard, std::unique_lock and
// std::scoped_lock work with interleave::mutex as they are; std::scoped_lock of several mutexes tries them in
// a loop without an end, so that its tests are bounded.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "interleave/clock.h"
#include "interleave/detail/runtime.h"

namespace interleave {

/// Every order in which threads can lock it is explored. Locking it twice by one thread is a deadlock,
/// unlocking it by another one or destroying it locked a misuse, destroying it while another thread may be
/// using it a use after free.
///
/// Thread safety: all members from any thread.
class mutex {
 public:
  constexpr mutex(Where where = Where::current()) noexcept {  // NOLINT: as std's
    if (!std::is_constant_evaluated()) detail::construct(cell_, where);
  }
  constexpr ~mutex() {
    if (!std::is_constant_evaluated()) detail::destroy(cell_, {});
  }
  mutex(const mutex&) = delete;
  mutex& operator=(const mutex&) = delete;

  void lock(Where where = Where::current()) { detail::mutex_lock(cell_, where); }
  /// False only when another thread holds it.
  [[nodiscard]] bool try_lock(Where where = Where::current()) { return detail::mutex_try_lock(cell_, where); }
  void unlock(Where where = Where::current()) { detail::mutex_unlock(cell_, where); }

 private:
  friend class condition_variable;
  detail::Cell cell_;
};

/// Which waiter notify_one wakes, whether a timed wait ends before it is notified, and with
/// Options::spurious_wakeups whether a wait ends for no reason, are choices that are all explored.
///
/// Thread safety: all members from any thread.
class condition_variable {
 public:
  constexpr condition_variable(Where where = Where::current()) noexcept {  // NOLINT: as std's
    if (!std::is_constant_evaluated()) detail::construct(cell_, where);
  }
  constexpr ~condition_variable() {
    if (!std::is_constant_evaluated()) detail::destroy(cell_, {});
  }
  condition_variable(const condition_variable&) = delete;
  condition_variable& operator=(const condition_variable&) = delete;

  void wait(std::unique_lock<mutex>& lock, Where where = Where::current()) {
    detail::condition_wait(cell_, lock.mutex()->cell_, false, where);
  }
  template <typename Condition>
  void wait(std::unique_lock<mutex>& lock, Condition condition, Where where = Where::current()) {
    while (!condition()) wait(lock, where);
  }
  std::cv_status wait_until(std::unique_lock<mutex>& lock, clock::time_point deadline,
                            Where where = Where::current()) {
    if (detail::condition_wait(cell_, lock.mutex()->cell_, true, where)) return std::cv_status::no_timeout;
    detail::clock_reached(deadline.time_since_epoch().count());
    return std::cv_status::timeout;
  }
  template <typename Condition>
  bool wait_until(std::unique_lock<mutex>& lock, clock::time_point deadline, Condition condition,
                  Where where = Where::current()) {
    while (!condition()) {
      if (wait_until(lock, deadline, where) == std::cv_status::timeout) return condition();
    }
    return true;
  }
  template <typename Rep, typename Period>
  std::cv_status wait_for(std::unique_lock<mutex>& lock, std::chrono::duration<Rep, Period> time,
                          Where where = Where::current()) {
    return wait_until(lock, clock::after(time), where);
  }
  template <typename Rep, typename Period, typename Condition>
  bool wait_for(std::unique_lock<mutex>& lock, std::chrono::duration<Rep, Period> time, Condition condition,
                Where where = Where::current()) {
    return wait_until(lock, clock::after(time), std::move(condition), where);
  }
  void notify_one(Where where = Where::current()) noexcept { detail::condition_notify(cell_, false, where); }
  void notify_all(Where where = Where::current()) noexcept { detail::condition_notify(cell_, true, where); }

 private:
  detail::Cell cell_;
};

/// Thread safety: any thread.
class once_flag {
 public:
  constexpr once_flag(Where where = Where::current()) noexcept {  // NOLINT: as std's
    if (!std::is_constant_evaluated()) detail::construct(cell_, where);
  }
  constexpr ~once_flag() {
    if (!std::is_constant_evaluated()) detail::destroy(cell_, {});
  }
  once_flag(const once_flag&) = delete;
  once_flag& operator=(const once_flag&) = delete;

 private:
  template <typename F, typename... Arguments>
  friend void call_once(once_flag&, F&&, Arguments&&...);
  detail::Cell cell_;
};

/// std::call_once: when the function throws, the next caller calls it.
/// Thread safety: any thread.
template <typename F, typename... Arguments>
void call_once(once_flag& flag, F&& function, Arguments&&... arguments) {
  const Where where = Where::current();
  if (!detail::once_begin(flag.cell_, where)) return;
  try {
    std::forward<F>(function)(std::forward<Arguments>(arguments)...);
  } catch (...) {
    detail::once_end(flag.cell_, false, where);
    throw;
  }
  detail::once_end(flag.cell_, true, where);
}

}  // namespace interleave
