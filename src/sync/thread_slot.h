// A thread's own pointer, with a hook for when the thread ends.
#pragma once

#include <new>

#include "sync/atomic.h"

#if !defined(MILLRACE_CHECKED)
#include <pthread.h>
#endif

namespace millrace::sync {

/// One pointer a thread, null at first. When a thread ends with it set, the hook gets it, after the
/// thread's C++ thread_local objects were destroyed; those may therefore still use it. If the hook or
/// another hook sets it again, it is called again (a few rounds, as POSIX says).
///
/// The main thread's hook does not run when main returns or exit is called: POSIX has it so, and the
/// process is ending.
///
/// Tag tells one slot from another: a slot is a set of static functions, since thread_local cannot
/// be a member.
///
/// Thread safety: get and set from any thread, each for itself; open before all others.
template <typename Tag, typename T>
class ThreadSlot {
 public:
  using ExitHook = void (*)(T*);

  /// Throws std::bad_alloc when the process has no thread-specific key left.
  static void open(ExitHook hook) {
    // relaxed here and below: opening comes before all use.
    if (is_open_.load(std::memory_order_relaxed)) return;
    hook_ = hook;
#if !defined(MILLRACE_CHECKED)
    if (pthread_key_create(&key_, &at_exit) != 0) throw std::bad_alloc();
#endif
    is_open_.store(true, std::memory_order_relaxed);
  }

#if defined(MILLRACE_CHECKED)

  static T* get() noexcept {
    return slot_.get();
  }
  static void set(T* value) {
    slot_.set(value);
  }
  static void forget() noexcept {
    slot_.set(nullptr);
  }

 private:
  static void at_exit(T* mine) {
    hook_(mine);
  }

  static inline constinit interleave::thread_slot<T> slot_{&at_exit};

#else

  static T* get() noexcept {
    return value_;
  }
  /// Also the only way to be called back: a slot that was never set has no hook. Throws
  /// std::bad_alloc where the system has no memory for that.
  static void set(T* value) {
    if (is_open_.load(std::memory_order_relaxed) && pthread_setspecific(key_, value) != 0)
      throw std::bad_alloc();
    value_ = value;
  }
  /// Forgets the value without the hook; allocates nothing.
  static void forget() noexcept {
    value_ = nullptr;
  }

 private:
  static void at_exit(void* value) {
    if (value_ == nullptr) return;  // forgotten meanwhile
    T* mine = static_cast<T*>(value);
    value_ = nullptr;  // what the hook calls may set a new one, and is called back for that
    hook_(mine);
  }

  static inline thread_local constinit T* value_ = nullptr;
  static inline pthread_key_t key_{};

#endif

  static inline ExitHook hook_ = nullptr;
  static inline constinit atomic<bool> is_open_{false};
};

}  // namespace millrace::sync
