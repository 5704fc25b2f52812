// Threads of the library's own, and what a thread can know of itself.
#pragma once

#include <chrono>
#include <cstdint>
#include <utility>

#include "sync/base.h"

namespace millrace::sync {

/// A number for the calling thread that no other thread of the process ever has.
inline std::uint64_t this_thread_id() noexcept {
  return base::this_thread_number();
}

/// Lets another thread run; for loops that wait for a short critical section elsewhere.
inline void yield([[maybe_unused]] base::Where where = base::Where::current()) noexcept {
  base::yield(where);
}

inline void sleep_for(std::chrono::nanoseconds time,
                      [[maybe_unused]] base::Where where = base::Where::current()) {
  base::sleep_for(time, where);
}

/// The function is called in each forked child, on its one thread. False when there is no memory to note it.
inline bool call_in_forked_child(void (*function)()) noexcept {
  return base::call_in_forked_child(function);
}

inline unsigned hardware_threads() noexcept {
  const unsigned count = base::thread::hardware_concurrency();
  return count == 0 ? 1 : count;
}

/// A thread that its owner joins or gives up on.
///
/// Thread safety: one thread at a time. Construction throws std::system_error when the system has no
/// thread left.
class Thread {
 public:
  Thread() = default;
  template <typename F>
  explicit Thread(F body) : thread_(std::move(body)) {}
  Thread(Thread&&) = default;
  Thread& operator=(Thread&&) = default;

  bool joinable() const noexcept { return thread_.joinable(); }
  bool is_this_thread() const noexcept { return thread_.get_id() == base::this_thread_id(); }
  void join() { thread_.join(); }
  /// Nobody will join it: it ends on its own, or it is not there any more (a forked child).
  void detach() { thread_.detach(); }

 private:
  base::thread thread_;
};

}  // namespace millrace::sync
