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

Json json_of(const ReplayResult& result, const ReplaySetting& setting) {
  const auto& [log, plan, runs] = result;
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
  if (runs.empty()) return json;
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
  if (result.runs.empty()) return;
  if (const auto failure = summary_of(result.runs).first_failure) {
    fmt::print("{}: event {} (thread {}, stream 0x{:x}) found no memory for {} bytes: {}\n", name,
               format_count(failure->number), result.log.threads[failure->thread],
               result.log.streams[failure->stream], format_count(failure->bytes), failure->message);
  }
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
  return {{"replay", std::move(list)}};
}

void print_replay(const std::vector<ReplayResult>& results, const ReplaySetting& setting) {
  Table table({{"log"},
               {"events", Align::right},
               {"threads", Align::right},
               {"streams", Align::right},
               {"peak live", Align::right},
               {"replayed", Align::right},
               {"committed", Align::right},
               {"ratio", Align::right},
               {"time", Align::right},
               {"out of memory", Align::right, true}});
  for (const auto& [log, plan, runs] : results) {
    if (runs.empty()) continue;
    const ReplayRun all = summary_of(runs);
    table.add({printable(log.name), format_count(log.entries), format_count(log.threads.size()),
               format_count(log.streams.size()), format_byte_size(plan.peak_live),
               format_byte_size(all.peak_live), format_byte_size(all.peak_committed),
               all.peak_live > 0 ? fmt::format("{:.3f}", ratio_of(all)) : "-",
               fmt::format("{:.4g} ms", all.seconds * 1e3),
               all.out_of_memory > 0 ? format_count(all.out_of_memory) : ""});
  }
  table.print(stdout);
  fmt::print(
      "on {}, {}\n", setting.device,
      setting.serial ? "in the order of the log on one thread" : "each of the log's threads on its own");
  for (const ReplayResult& result : results) print_notes(result);
}

}  // namespace millrace::tool
