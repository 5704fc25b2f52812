// Replays for people and for programs.
#pragma once

#include <string>
#include <vector>

#include "bench/peer_library.h"
#include "formats/allocation_log.h"
#include "json_output.h"
#include "replay/plan.h"
#include "replay/runner.h"

namespace millrace::tool {

/// What one allocator made of a log.
struct ReplayContestant {
  std::string impl;             ///< "millrace", or the peer's name
  std::vector<ReplayRun> runs;  ///< empty where an interruption or a failure came first
  std::string failure{};        ///< why a peer could not be made; empty if it could
};

/// One log, its plan and the runs of it. Of the log, the events are gone.
struct ReplayResult {
  AllocationLog log;
  ReplayPlan plan;
  std::vector<ReplayContestant> contestants;  ///< Millrace, then the peers

  const ReplayContestant& ours() const { return contestants.front(); }
};

/// How the logs were replayed.
struct ReplaySetting {
  std::string device;
  bool serial = false;
  std::uint64_t memory_limit = 0;  ///< 0: the device's
  bool peers = false;              ///< took part
  std::vector<PeerNote> notes;     ///< each peer with its version or the reason of its absence
};

/// Of all runs: the median of the seconds, the most that was live and committed, the first failure of the
/// first run with one.
ReplayRun summary_of(const std::vector<ReplayRun>& runs);

nlohmann::ordered_json replay_json(const std::vector<ReplayResult>& results, const ReplaySetting& setting);

/// A row a log, and what is to be said of each below.
void print_replay(const std::vector<ReplayResult>& results, const ReplaySetting& setting);

}  // namespace millrace::tool
