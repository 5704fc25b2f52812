// millrace replay: what a program allocated and freed, repeated on a device.
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bench/peer_library.h"
#include "byte_size.h"
#include "command.h"
#include "formats/allocation_log.h"
#include "formats/file_format_error.h"
#include "interrupt.h"
#include "json_output.h"
#include "open_device.h"
#include "replay/device_allocator.h"
#include "replay/peer_allocator.h"
#include "replay/plan.h"
#include "replay/report.h"
#include "replay/runner.h"
#include "usage_error.h"

namespace millrace::tool {
namespace {

struct ReplayRequest {
  std::vector<std::string> logs;
  ReplaySetting setting;
  std::string memory_limit;
  std::string peers;  // the folder; empty: none take part
  int repeat = 1;
  std::string json;
};

/// All logs, before any is replayed: a bad one shows at once.
std::vector<ReplayResult> read_logs(const ReplayRequest& request) {
  std::vector<ReplayResult> results;
  for (const std::string& path : request.logs) {
    for (AllocationLog& log : read_allocation_logs(path)) {
      ReplayPlan plan = plan_replay(log, request.setting.serial);
      log.events = {};
      results.push_back({std::move(log), std::move(plan), {{"millrace", {}}}});
    }
  }
  return results;
}

/// What takes longer than this is replayed once.
constexpr double kLongSeconds = 2;
/// And a peer that takes longer than this is left out.
constexpr std::chrono::seconds kPeerLimit{10};

bool is_through(const ReplayContestant& contestant) {
  return !contestant.failure.empty() ||
         (!contestant.runs.empty() && contestant.runs.back().seconds > kLongSeconds);
}

/// The peers of the device's kind, for --peers, and what became of the others.
class Field {
 public:
  explicit Field(ReplaySetting& setting, const std::string& folder) : setting_(setting) {
    if (folder.empty()) return;
    setting.peers = true;
    const std::filesystem::path checked = peer_folder(folder);
    const DeviceName name = split_device_name(create_device(setting.device, {}).info().name);
    number_ = name.number;
    PeerCatalog catalog = open_peers(checked, name.kind);
    peers_ = std::move(catalog.peers);
    for (const millrace_peer* const peer : peers_) setting.notes.push_back({peer->name, peer->version});
    for (PeerNote& absent : catalog.absent) setting.notes.push_back(std::move(absent));
  }

  /// Each allocator once, on memory of its own that nobody else has at that time.
  void take_turns(ReplayResult& result) const {
    for (const millrace_peer* const peer : peers_) {
      if (result.contestants.size() <= peers_.size()) result.contestants.push_back({peer->name, {}});
    }
    if (!is_through(result.contestants.front())) replay_ours(result);
    for (std::size_t i = 0; i < peers_.size() && !interrupted(); ++i) {
      ReplayContestant& contestant = result.contestants[i + 1];
      if (is_through(contestant)) continue;
      try {
        PeerReplayAllocator allocator(*peers_[i], number_, result.plan.streams);
        ReplayRun run = run_replay(result.plan, allocator, kPeerLimit);
        allocator.check();
        if (run.late) throw PeerFailure(fmt::format("not done within {} s", kPeerLimit.count()));
        contestant.runs.push_back(std::move(run));
      } catch (const PeerFailure& failure) {
        contestant.failure = failure.what();
      }
    }
  }

 private:
  void replay_ours(ReplayResult& result) const {
    DeviceAllocator allocator(setting_.device, result.plan.streams, setting_.memory_limit);
    result.contestants.front().runs.push_back(run_replay(result.plan, allocator));
  }

  const ReplaySetting& setting_;
  std::vector<const millrace_peer*> peers_;
  int number_ = 0;  // of the device
};

int replay(ReplayRequest& request) {
  catch_interrupts();
  explain_bus_errors();
  if (!request.memory_limit.empty()) {
    const auto bytes = parse_byte_size(request.memory_limit);
    if (!bytes || *bytes == 0) {
      throw UsageError(fmt::format("--memory-limit: expected a size as 64MiB, 1GB or 1048576, found {}",
                                   printable(request.memory_limit)));
    }
    request.setting.memory_limit = *bytes;
  }
  JsonOutput json(request.json);
  std::vector<ReplayResult> results = read_logs(request);
  bool out_of_memory = false, partial = false;
  const Field field(request.setting, request.peers);
  for (ReplayResult& result : results) {
    for (int i = 0; i < request.repeat && !interrupted(); ++i) field.take_turns(result);
    for (const ReplayContestant& contestant : result.contestants) {
      const ReplayRun all = summary_of(contestant.runs);
      if (&contestant == &result.ours()) out_of_memory = out_of_memory || all.out_of_memory > 0;
      const bool whole = contestant.runs.size() == static_cast<std::size_t>(request.repeat);
      partial = partial || all.interrupted || (!whole && !is_through(contestant));
    }
  }
  nlohmann::ordered_json document = replay_json(results, request.setting);
  if (partial) document["partial"] = true;
  json.write(document);
  if (!json.is_stdout()) {
    print_replay(results, request.setting);
    if (partial) fmt::print("partial: interrupted\n");
  }
  if (partial) return kInterrupted;
  return out_of_memory ? kDeviceFailed : kDone;
}

}  // namespace

Command replay_command(CLI::App& parent) {
  CLI::App* const app = parent.add_subcommand(
      "replay", "Repeat the allocations of RMM's logs and PyTorch's memory snapshots on a device");
  const auto request = std::make_shared<ReplayRequest>();
  request->setting.device = "host";
  app->add_option("LOG", request->logs,
                  "RMM's CSV, a PyTorch snapshot (pickle or JSON), or what record wrote")
      ->required();
  app->add_option("--device", request->setting.device, "auto, host, or a name from `millrace devices`")
      ->capture_default_str();
  app->add_flag("--serial", request->setting.serial,
                "On one thread in the order of the log (default: a thread for each of the log's)");
  CLI::Option* const limit =
      app->add_option("--memory-limit", request->memory_limit,
                      "Most device memory to take, as 64MiB or 1GB (default: the device's)");
  app->add_option("--peers", request->peers,
                  "Also through the peers of this folder, which scripts/build-peers has made, taking turns")
      ->excludes(limit);
  app->add_option("--repeat", request->repeat,
                  "Replays of each log, each on a fresh device, fewer where one takes longer than 2 s, "
                  "none of a peer's that takes longer than 10 s; the median is shown")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app->add_option("--json", request->json, "Write JSON to a file, or to standard output for -");
  app->footer(
      "peak live: the log's, each size rounded up to 512 bytes\n"
      "replayed:  the same of the replay, whose threads may run ahead of each other\n"
      "committed: the most that the replay took from the device; ratio: committed to replayed\n"
      "Frees of blocks from before the log began are left out and counted. Exit code 4: out of memory.\n"
      "Peers start with as little memory as they can, and what they committed is by their own books; for\n"
      "cudaMalloc, which keeps nothing, what it was asked for.");
  return {app, [request] { return replay(*request); }};
}

}  // namespace millrace::tool
