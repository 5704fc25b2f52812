// Threads that do the same kind of work for a while, from a common start to a common end.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

namespace millrace::tool {

/// One thread's work; made, run and ended on that thread.
///
/// Thread safety: one thread at a time.
class TimedWork {
 public:
  TimedWork() = default;
  TimedWork(const TimedWork&) = delete;
  TimedWork& operator=(const TimedWork&) = delete;
  virtual ~TimedWork() = default;
  virtual void warm_up() = 0;
  /// Some operations, between two looks at the clock; returns how many.
  virtual std::uint64_t run() = 0;
  /// What of run() it timed itself, for work that has parts which do not count; since it was warmed up.
  virtual double own_seconds() const { return 0; }
};

struct TimedRun {
  std::uint64_t operations = 0;  ///< of all threads
  double seconds = 0;            ///< until the last of them had ended
  double own_seconds = 0;        ///< of all threads together, where the work times itself
};

/// Each thread makes its work and warms up; then all start at once and run until the time is over. Throws
/// the first failure of any of them, after all have ended. A run in which nothing was done, as on a busy
/// machine in a short time, is made again.
TimedRun run_timed(int threads, std::chrono::milliseconds duration,
                   const std::function<std::unique_ptr<TimedWork>(int thread)>& make);

}  // namespace millrace::tool
