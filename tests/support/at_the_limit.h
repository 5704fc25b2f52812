// Threads that keep a device at its memory limit, and what must hold when all of them stand still.
#pragma once

#include <millrace/device.h>

#include <cstddef>
#include <cstdint>
#include <functional>

namespace millrace::test {

struct AtTheLimit {
  std::size_t limit = 0;  ///< the device's
  int threads = 8;
  std::size_t operations = 0;                     ///< of each thread in a round
  std::function<bool(std::size_t rounds)> go_on;  ///< asked after each round; by one thread
};

struct AtTheLimitResult {
  std::size_t rounds = 0;
  std::size_t refused = 0;  ///< allocations
  std::size_t fitted = 0;   ///< at barriers: allocations that had to succeed
};

/// In each round the threads allocate and free at random, each up to a number of blocks of its own choice;
/// then, while they wait, whatever fits beside the granules in which something lives must be had, and what
/// can't fit must be refused with a full report and change nothing. Expectations are GoogleTest's.
AtTheLimitResult run_at_the_limit(Device& device, std::uint64_t seed, const AtTheLimit& run);

}  // namespace millrace::test
