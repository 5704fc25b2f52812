// Replays for people and for programs.
#pragma once

#include <string>
#include <vector>

#include "formats/allocation_log.h"
#include "json_output.h"
#include "replay/plan.h"
#include "replay/runner.h"

namespace millrace::tool {

/// One log, its plan and the runs of it. Of the log, the events are gone.
struct ReplayResult {
  AllocationLog log;
  ReplayPlan plan;
  std::vector<ReplayRun> runs;  ///< empty where an interruption came first
};

/// How the logs were replayed.
struct ReplaySetting {
  std::string device;
  bool serial = false;
  std::uint64_t memory_limit = 0;  ///< 0: the device's
};

/// Of all runs: the median of the seconds, the most that was live and committed, the first failure of the
/// first run with one.
ReplayRun summary_of(const std::vector<ReplayRun>& runs);

nlohmann::ordered_json replay_json(const std::vector<ReplayResult>& results, const ReplaySetting& setting);

/// A row a log, and what is to be said of each below.
void print_replay(const std::vector<ReplayResult>& results, const ReplaySetting& setting);

}  // namespace millrace::tool
