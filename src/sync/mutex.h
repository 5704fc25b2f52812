// Mutexes that clang's thread-safety analysis can follow, and the condition variable that goes with them.
#pragma once

#include <condition_variable>
#include <mutex>

#include "sync/annotations.h"
#include "sync/base.h"
#include "sync/clock.h"

namespace millrace::sync {

using base::Where;

/// Thread safety: all members from any thread.
class CAPABILITY("mutex") Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock([[maybe_unused]] Where where = Where::current()) ACQUIRE() { mutex_.lock(MILLRACE_ONLY(where)); }
  void unlock([[maybe_unused]] Where where = Where::current()) RELEASE() {
    mutex_.unlock(MILLRACE_ONLY(where));
  }
  [[nodiscard]] bool try_lock([[maybe_unused]] Where where = Where::current()) TRY_ACQUIRE(true) {
    return mutex_.try_lock(MILLRACE_ONLY(where));
  }

 private:
  friend class ConditionVariable;
  base::mutex mutex_;
};

/// Holds a mutex for a scope.
class SCOPED_CAPABILITY LockGuard {
 public:
  explicit LockGuard(Mutex& mutex, [[maybe_unused]] Where where = Where::current()) ACQUIRE(mutex)
      : mutex_(mutex), where_(where) {
    mutex_.lock(where_);
  }
  ~LockGuard() RELEASE() { mutex_.unlock(where_); }
  LockGuard(const LockGuard&) = delete;
  LockGuard& operator=(const LockGuard&) = delete;

 private:
  Mutex& mutex_;
  [[no_unique_address]] const Where where_;
};

/// Holds a mutex for a scope, less the time it is unlocked in between (to call user code, say).
class SCOPED_CAPABILITY UniqueLock {
 public:
  explicit UniqueLock(Mutex& mutex, [[maybe_unused]] Where where = Where::current()) ACQUIRE(mutex)
      : mutex_(mutex), where_(where) {
    mutex_.lock(where_);
  }
  ~UniqueLock() RELEASE() {
    if (held_) mutex_.unlock(where_);
  }
  UniqueLock(const UniqueLock&) = delete;
  UniqueLock& operator=(const UniqueLock&) = delete;

  void lock([[maybe_unused]] Where where = Where::current()) ACQUIRE() {
    mutex_.lock(where);
    held_ = true;
  }
  void unlock([[maybe_unused]] Where where = Where::current()) RELEASE() {
    held_ = false;
    mutex_.unlock(where);
  }

 private:
  friend class ConditionVariable;
  Mutex& mutex_;
  bool held_ = true;
  [[no_unique_address]] const Where where_;
};

/// Waits under a UniqueLock that is held. Wakes for no reason too: wait in a loop over the predicate.
///
/// Thread safety: all members from any thread.
class ConditionVariable {
 public:
  void wait(UniqueLock& lock, [[maybe_unused]] Where where = Where::current()) {
    std::unique_lock<base::mutex> native(lock.mutex_.mutex_, std::adopt_lock);
    condition_.wait(native MILLRACE_AND(where));
    native.release();
  }
  /// False when the deadline has passed.
  bool wait_until(UniqueLock& lock, Clock::time_point deadline,
                  [[maybe_unused]] Where where = Where::current()) {
    std::unique_lock<base::mutex> native(lock.mutex_.mutex_, std::adopt_lock);
    const std::cv_status status = condition_.wait_until(native, deadline MILLRACE_AND(where));
    native.release();
    return status == std::cv_status::no_timeout;
  }
  void notify_one([[maybe_unused]] Where where = Where::current()) noexcept {
    condition_.notify_one(MILLRACE_ONLY(where));
  }
  void notify_all([[maybe_unused]] Where where = Where::current()) noexcept {
    condition_.notify_all(MILLRACE_ONLY(where));
  }

 private:
  base::condition_variable condition_;
};

}  // namespace millrace::sync
