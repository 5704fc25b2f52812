// Replays: a plan driven through an allocator, on as many threads as it has.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "replay/allocator.h"
#include "replay/plan.h"

namespace millrace::tool {

/// An allocation that found no memory.
struct ReplayFailure {
  std::uint64_t number = 0;  ///< of the event
  std::uint32_t thread = 0;  ///< index in the log's list, as stream
  std::uint32_t stream = 0;
  std::uint64_t bytes = 0;
  std::string message;  ///< the allocator's
};

struct ReplayRun {
  double seconds = 0;  ///< from the start of the first thread to the end of the last
  std::uint64_t peak_committed = 0;
  /// Bytes, each block as live_bytes: exact on one thread. With several it is looked at every few steps, and
  /// may be more than in the log, since threads run ahead of each other.
  std::uint64_t peak_live = 0;
  std::uint64_t out_of_memory = 0;
  std::optional<ReplayFailure> first_failure;  ///< the one with the lowest number
  std::uint64_t done = 0;                      ///< steps, frees of blocks that found no memory among them
  bool interrupted = false;                    ///< before it had done all of them
  bool late = false;                           ///< because the time was over
};

/// A step runs after those before it on its thread, and a free after its block's allocation, on whichever
/// thread that is. What finds no memory is counted, and its free left out. Ends early when interrupted().
/// Blocks that are live at the end are released then. Throws what the allocator throws but for OutOfMemory.
/// limit: ends when so much time has passed; none: goes on to the end.
ReplayRun run_replay(const ReplayPlan& plan, ReplayAllocator& allocator,
                     std::optional<std::chrono::steady_clock::duration> limit = std::nullopt);

}  // namespace millrace::tool
