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
inline Deadline deadline_after(std::chrono::nanoseconds limit) noexcept {
  const Clock::time_point start = now();
  if (limit > Clock::time_point::max() - start) return std::nullopt;
  return start + limit;
}

}  // namespace millrace::sync
