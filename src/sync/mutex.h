// Mutexes that clang's thread-safety analysis can follow, and the condition variable that goes with them.
#pragma once

#include <condition_variable>
#include <mutex>

#include "sync/annotations.h"
#include "sync/base.h"
#include "sync/clock.h"

namespace millrace::sync {

/// Thread safety: all members from any thread.
class CAPABILITY("mutex") Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock() ACQUIRE() { mutex_.lock(); }
  void unlock() RELEASE() { mutex_.unlock(); }
  [[nodiscard]] bool try_lock() TRY_ACQUIRE(true) { return mutex_.try_lock(); }

 private:
  friend class ConditionVariable;
  base::mutex mutex_;
};

/// Holds a mutex for a scope.
class SCOPED_CAPABILITY LockGuard {
 public:
  explicit LockGuard(Mutex& mutex) ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~LockGuard() RELEASE() { mutex_.unlock(); }
  LockGuard(const LockGuard&) = delete;
  LockGuard& operator=(const LockGuard&) = delete;

 private:
  Mutex& mutex_;
};

/// Holds a mutex for a scope, less the time it is unlocked in between (to call user code, say).
class SCOPED_CAPABILITY UniqueLock {
 public:
  explicit UniqueLock(Mutex& mutex) ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~UniqueLock() RELEASE() {
    if (held_) mutex_.unlock();
  }
  UniqueLock(const UniqueLock&) = delete;
  UniqueLock& operator=(const UniqueLock&) = delete;

  void lock() ACQUIRE() {
    mutex_.lock();
    held_ = true;
  }
  void unlock() RELEASE() {
    held_ = false;
    mutex_.unlock();
  }

 private:
  friend class ConditionVariable;
  Mutex& mutex_;
  bool held_ = true;
};

/// Waits under a UniqueLock that is held. Wakes for no reason too: wait in a loop over the predicate.
///
/// Thread safety: all members from any thread.
class ConditionVariable {
 public:
  void wait(UniqueLock& lock) {
    std::unique_lock<base::mutex> native(lock.mutex_.mutex_, std::adopt_lock);
    condition_.wait(native);
    native.release();
  }
  /// False when the deadline has passed.
  bool wait_until(UniqueLock& lock, Clock::time_point deadline) {
    std::unique_lock<base::mutex> native(lock.mutex_.mutex_, std::adopt_lock);
    const std::cv_status status = condition_.wait_until(native, deadline);
    native.release();
    return status == std::cv_status::no_timeout;
  }
  void notify_one() noexcept { condition_.notify_one(); }
  void notify_all() noexcept { condition_.notify_all(); }

 private:
  base::condition_variable condition_;
};

}  // namespace millrace::sync
