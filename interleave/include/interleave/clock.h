// Time that passes only when a run says so.
#pragma once

#include <chrono>

#include "interleave/detail/runtime.h"

namespace interleave {

/// Stands still, but for what the calling thread has waited for: a wait that timed out, or a sleep, takes it
/// to the deadline. Threads' times are joined as threads are.
///
/// Thread safety: any thread.
struct clock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<clock>;
  static constexpr bool is_steady = true;

  static time_point now() noexcept { return time_point(duration(detail::clock_now())); }

  /// So long from now; as far as the clock goes where that lies beyond it.
  template <typename Rep, typename Period>
  static time_point after(std::chrono::duration<Rep, Period> time) noexcept {
    // As floating point, which overflows for no unit; where it is not exact it errs to the end of the clock.
    using Rough = std::chrono::duration<double, std::nano>;
    const time_point start = now();
    if (Rough(time) >= Rough(time_point::max() - start)) return time_point::max();
    if (Rough(time) <= Rough(duration::min())) return start;
    return start + std::chrono::duration_cast<duration>(time);
  }
};

}  // namespace interleave
