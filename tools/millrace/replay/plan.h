// A log made ready to be replayed: who does what in which order, and what the log itself says about memory.
#pragma once

#include <cstdint>
#include <vector>

#include "formats/allocation_log.h"

namespace millrace::tool {

/// What Millrace and PyTorch round sizes up to.
inline constexpr std::uint64_t kReplayRounding = 512;

/// What a block counts in what is live.
constexpr std::uint64_t live_bytes(std::uint64_t bytes) {
  return (bytes + kReplayRounding - 1) / kReplayRounding * kReplayRounding;
}

/// One allocation or free to be done.
struct ReplayStep {
  bool allocate = false;
  bool handed_over = false;  ///< the block's allocation and its free are on different threads
  std::uint32_t thread = 0;  ///< as in the log, also where all are replayed on one
  std::uint32_t stream = 0;
  std::uint32_t block = 0;   ///< which allocation of the plan it makes or frees
  std::uint64_t bytes = 0;   ///< of the block
  std::uint64_t number = 0;  ///< of the event in the log
};

struct ReplayPlan {
  /// A list a thread, each in the order of the log. A free of a block stands after its allocation in the log,
  /// so the earliest step that is not done can always be: no order of the threads leads to a deadlock.
  std::vector<std::vector<ReplayStep>> threads;
  std::size_t streams = 0;
  std::uint32_t blocks = 0;
  std::uint64_t allocations = 0;
  std::uint64_t frees = 0;
  /// Frees of blocks from before the log began, which are left out: normal for logs that begin in the middle.
  std::uint64_t unknown_frees = 0;
  std::uint64_t first_unknown_free = 0;  ///< the number of that event
  std::uint64_t live_at_end = 0;         ///< blocks, which are freed after the replay
  std::uint64_t peak_live = 0;           ///< bytes in the log's order, each block as live_bytes
};

/// Threads that are started at most.
inline constexpr std::size_t kMostReplayThreads = 1024;

/// serial: all on one thread. Throws FileFormatError for what no allocator does, with the event's number: an
/// address allocated again while it is live, or freed again after it was freed; and for more than
/// kMostReplayThreads threads.
ReplayPlan plan_replay(const AllocationLog& log, bool serial);

}  // namespace millrace::tool
