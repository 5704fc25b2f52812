// The time that waits and timings use.
#pragma once

#include <chrono>
#include <optional>

#include "sync/base.h"

namespace millrace::sync {

using Clock = base::clock;
using Deadline = std::optional<Clock::time_point>;  // nothing: wait without bound

inline Clock::time_point now() noexcept {
  return Clock::now();
}

/// limit from now; without bound where that lies beyond the clock.
template <typename Rep, typename Period>
Deadline deadline_after(std::chrono::duration<Rep, Period> limit) noexcept {
  const Clock::time_point start = now();
  // In the limit's unit: the largest of a coarser one than the clock's can't be said in that.
  using Limit = std::chrono::duration<Rep, Period>;
  if (limit > std::chrono::duration_cast<Limit>(Clock::time_point::max() - start)) return std::nullopt;
  return start + limit;
}

}  // namespace millrace::sync
