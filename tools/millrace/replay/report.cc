#include "replay/report.h"

#include <algorithm>

#include <fmt/format.h>

#include "byte_size.h"
#include "formats/file_format_error.h"
#include "table.h"

namespace millrace::tool {
namespace {

using Json = nlohmann::ordered_json;

double ratio_of(const ReplayRun& run) {
  return run.peak_live == 0 ? 0
                            : static_cast<double>(run.peak_committed) / static_cast<double>(run.peak_live);
}

Json json_of(const ReplayFailure& failure, const AllocationLog& log) {
  return {{"event", failure.number},
          {"thread", log.threads[failure.thread]},
          {"stream", log.streams[failure.stream]},
          {"bytes", failure.bytes},
          {"message", failure.message}};
}

/// What the runs of one allocator gave, added to the object.
void add_runs(Json& json, const std::vector<ReplayRun>& runs, const AllocationLog& log) {
  const ReplayRun all = summary_of(runs);
  json["replayed_peak_live_bytes"] = all.peak_live;
  json["peak_committed_bytes"] = all.peak_committed;
  json["committed_per_live"] = all.peak_live > 0 ? Json(ratio_of(all)) : Json();
  json["seconds"] = all.seconds;
  json["out_of_memory"] = all.out_of_memory;
  json["first_failure"] = all.first_failure ? json_of(*all.first_failure, log) : Json();
  Json list = Json::array();
  for (const ReplayRun& run : runs) {
    list.push_back({{"seconds", run.seconds},
                    {"peak_live_bytes", run.peak_live},
                    {"peak_committed_bytes", run.peak_committed},
                    {"out_of_memory", run.out_of_memory},
                    {"done", run.done}});
  }
  json["runs"] = std::move(list);
}

Json peers_json(const ReplayResult& result) {
  Json list = Json::array();
  for (const ReplayContestant& contestant : result.contestants) {
    if (&contestant == &result.ours()) continue;
    Json json = {{"impl", contestant.impl}};
    if (!contestant.failure.empty()) json["failure"] = contestant.failure;
    if (!contestant.runs.empty()) add_runs(json, contestant.runs, result.log);
    list.push_back(std::move(json));
  }
  return list;
}

Json json_of(const ReplayResult& result, const ReplaySetting& setting) {
  const auto& [log, plan, contestants] = result;
  Json json = {{"log", log.name},
               {"format", log.format},
               {"events", log.entries},
               {"allocations", plan.allocations},
               {"frees", plan.frees},
               {"unknown_frees", plan.unknown_frees},
               {"first_unknown_free", plan.unknown_frees > 0 ? Json(plan.first_unknown_free) : Json()},
               {"logged_failures", log.failures},
               {"live_at_end", plan.live_at_end},
               {"threads", log.threads.size()},
               {"streams", log.streams.size()},
               {"peak_live_bytes", plan.peak_live},
               {"device", setting.device},
               {"serial", setting.serial},
               {"memory_limit", setting.memory_limit > 0 ? Json(setting.memory_limit) : Json()}};
  if (!result.ours().runs.empty()) add_runs(json, result.ours().runs, log);
  if (setting.peers) json["peers"] = peers_json(result);
  return json;
}

void print_notes(const ReplayResult& result) {
  const std::string name = printable(result.log.name);
  if (result.plan.unknown_frees > 0) {
    fmt::print("{}: {} frees of blocks from before the log began are left out, the first is event {}\n", name,
               format_count(result.plan.unknown_frees), format_count(result.plan.first_unknown_free));
  }
  if (result.log.failures > 0) {
    fmt::print("{}: the logged program ran out of memory {} times\n", name,
               format_count(result.log.failures));
  }
  for (const ReplayContestant& contestant : result.contestants) {
    if (!contestant.failure.empty()) {
      fmt::print("{}: {} did not replay it: {}\n", name, contestant.impl, contestant.failure);
    }
    if (contestant.runs.empty()) continue;
    if (const auto failure = summary_of(contestant.runs).first_failure) {
      fmt::print("{}: event {} (thread {}, stream 0x{:x}) found no memory for {} bytes: {}\n", name,
                 format_count(failure->number), result.log.threads[failure->thread],
                 result.log.streams[failure->stream], format_count(failure->bytes), failure->message);
    }
  }
}

void add_row(Table& table, const ReplayResult& result, const ReplayContestant& contestant, bool peers) {
  const auto& [log, plan, contestants] = result;
  const ReplayRun all = summary_of(contestant.runs);
  std::vector<std::string> cells{printable(log.name)};
  if (peers) cells.push_back(contestant.impl);
  for (std::string& cell :
       std::vector<std::string>{format_count(log.entries), format_count(log.threads.size()),
                                format_count(log.streams.size()), format_byte_size(plan.peak_live),
                                format_byte_size(all.peak_live), format_byte_size(all.peak_committed),
                                all.peak_live > 0 ? fmt::format("{:.3f}", ratio_of(all)) : "-",
                                fmt::format("{:.4g} ms", all.seconds * 1e3),
                                all.out_of_memory > 0 ? format_count(all.out_of_memory) : ""}) {
    cells.push_back(std::move(cell));
  }
  table.add(std::move(cells));
}

}  // namespace

ReplayRun summary_of(const std::vector<ReplayRun>& runs) {
  ReplayRun all;
  std::vector<double> seconds;
  for (const ReplayRun& run : runs) {
    seconds.push_back(run.seconds);
    all.peak_live = std::max(all.peak_live, run.peak_live);
    all.peak_committed = std::max(all.peak_committed, run.peak_committed);
    all.out_of_memory += run.out_of_memory;
    if (!all.first_failure) all.first_failure = run.first_failure;
    all.done += run.done;
    all.interrupted = all.interrupted || run.interrupted;
  }
  std::ranges::sort(seconds);
  if (!seconds.empty()) {
    const std::size_t middle = seconds.size() / 2;
    all.seconds = seconds.size() % 2 != 0 ? seconds[middle] : (seconds[middle - 1] + seconds[middle]) / 2;
  }
  return all;
}

Json replay_json(const std::vector<ReplayResult>& results, const ReplaySetting& setting) {
  Json list = Json::array();
  for (const ReplayResult& result : results) list.push_back(json_of(result, setting));
  Json document = {{"replay", std::move(list)}};
  if (!setting.peers) return document;
  document["peers"] = Json::object();
  for (const PeerNote& peer : setting.notes) document["peers"][peer.name] = peer.text;
  return document;
}

void print_replay(const std::vector<ReplayResult>& results, const ReplaySetting& setting) {
  std::vector<Table::Column> columns{{"log"}};
  if (setting.peers) columns.push_back({"allocator"});
  for (const char* const title :
       {"events", "threads", "streams", "peak live", "replayed", "committed", "ratio", "time"}) {
    columns.push_back({title, Align::right});
  }
  columns.push_back({"out of memory", Align::right, true});
  Table table(std::move(columns));
  for (const ReplayResult& result : results) {
    for (const ReplayContestant& contestant : result.contestants) {
      if (!contestant.runs.empty()) add_row(table, result, contestant, setting.peers);
    }
  }
  table.print(stdout);
  fmt::print(
      "on {}, {}\n", setting.device,
      setting.serial ? "in the order of the log on one thread" : "each of the log's threads on its own");
  for (const ReplayResult& result : results) print_notes(result);
  for (const PeerNote& peer : setting.notes) {
    if (peer.text.starts_with("absent: ")) fmt::print("{}: {}\n", peer.name, peer.text);
  }
}

}  // namespace millrace::tool
