// The steps of RMM's random_allocations benchmark, for logs of it and for the bench.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "random.h"

namespace millrace::tool {

struct RandomStepsShape {
  std::uint64_t allocations = 0;
  std::uint64_t largest = 0;     ///< bytes; sizes are uniform from 1
  std::uint64_t memory_cap = 0;  ///< bytes that are live at once, fewer than this
};

/// Twice as many steps as allocations, each an allocation with a chance of 73 in 100 where the count and the
/// cap allow it, else the free of any block. Calls allocate(bytes), or release(i) for the one that is at i of
/// those that are live; the last of them takes its place. Ends with nothing live.
template <typename Allocate, typename Release>
void random_steps(const RandomStepsShape& shape, Random& random, Allocate&& allocate, Release&& release) {
  constexpr std::uint64_t kAllocateInHundred = 73;
  std::vector<std::uint64_t> live;  // sizes
  std::uint64_t made = 0, live_bytes = 0;
  for (std::uint64_t step = 0; step < shape.allocations * 2; ++step) {
    const std::uint64_t bytes = 1 + random.below(shape.largest);
    const bool allocates =
        live.empty() || (random.below(100) < kAllocateInHundred && made < shape.allocations &&
                         live_bytes + bytes < shape.memory_cap);
    if (allocates) {
      allocate(bytes);
      live.push_back(bytes);
      live_bytes += bytes;
      ++made;
    } else {
      const auto victim = static_cast<std::size_t>(random.below(live.size()));
      release(victim);
      live_bytes -= live[victim];
      live[victim] = live.back();
      live.pop_back();
    }
  }
}

}  // namespace millrace::tool
