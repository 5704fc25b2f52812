// millrace bench stats: a checkpoint to statistics, beside NumPy and reading as much memory, or on a GPU
// beside PyTorch and copying as much to it.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <millrace/device.h>

#include "bench/huge_memory.h"
#include "bench/link_floor.h"
#include "bench/options.h"
#include "bench/python_peer.h"
#include "bench/read_floor.h"
#include "bench/rounds.h"
#include "bench/status_line.h"
#include "bench/synthetic_checkpoint.h"
#include "byte_size.h"
#include "command.h"
#include "formats/mapped_file.h"
#include "formats/safetensors.h"
#include "interrupt.h"
#include "mapped_pages.h"
#include "open_device.h"
#include "stats.h"
#include "stats_run.h"
#include "table.h"

namespace millrace::tool {
namespace {

/// What is read between two contestants: as much as the file where that is not too much, and more than a
/// cache of half a gigabyte holds.
constexpr std::uint64_t kLargestMemory = std::uint64_t{4} << 30;

struct StatsBenchRequest {
  BenchOptions options;
  std::string device = "host";
  std::string size = "4GiB";
  std::string folder;
  bool keep = false;
};

/// The last run of ours, to hold the peer's against, and the most device memory of any.
struct StatsRuns {
  std::vector<std::optional<TensorStatistics>> tensors;
  std::size_t peak_committed = 0;
  std::size_t limit = 0;
};

/// read_tensor_list for a file whose name says nothing of its format.
TensorFile read_checkpoint(const std::string& path) {
  const MappedFile file(path);
  return {path, file.identity(), parse_safetensors(file.bytes(), path)};
}

/// From a path to statistics, as `millrace stats` goes: the device is opened and the header read within the
/// time.
std::optional<double> run_ours(const SyntheticCheckpoint& checkpoint, const std::string& name, int threads,
                               StatsRuns& runs) {
  const auto start = std::chrono::steady_clock::now();
  const std::vector<TensorFile> files{read_checkpoint(checkpoint.path())};
  const Device device = create_device(name, stats_device_options(threads, 0));
  StatsOptions options;
  options.threads = threads;
  StatsResult result = run_stats(device, files, options);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  if (result.interrupted) return std::nullopt;
  const MemoryStats memory = device.memory();
  runs.peak_committed = std::max(runs.peak_committed, memory.peak_committed);
  runs.limit = memory.limit;
  runs.tensors = std::move(result.tensors);
  return gigabytes_per_second(result.bytes, elapsed.count());
}

bool close_to(double a, double b, double tolerance) {
  return std::abs(a - b) <= tolerance * std::max(std::abs(a), std::abs(b));
}

/// What differs, or nothing.
std::string compare(const Statistics& ours, const nlohmann::json& theirs, double tolerance) {
  const auto count = [&](const char* name) { return theirs.at(name).get<std::int64_t>(); };
  const auto value = [&](const char* name) { return theirs.at(name).get<double>(); };
  if (ours.nan != count("nan") || ours.inf != count("inf") || ours.zeros != count("zeros"))
    return "the counts";
  if (ours.min != value("min") || ours.max != value("max") || ours.absmax != value("absmax"))
    return "the extremes";
  // The mean is close to 0, so its error is one of the deviation's size.
  const double deviation = standard_deviation(ours);
  if (!close_to(deviation, value("std"), tolerance)) return "the deviation";
  if (std::abs(ours.mean - value("mean")) > tolerance * deviation) return "the mean";
  return "";
}

/// What a peer found, or the host of what a GPU did.
struct Reference {
  const char* name;
  nlohmann::json tensors;
  double tolerance;  // of means and deviations; counts and extremes are the same
};

void compare_all(const StatsRuns& runs, const Reference& reference, BenchResult& result) {
  for (std::size_t i = 0; i < runs.tensors.size(); ++i) {
    const std::string what = compare(runs.tensors[i]->all, reference.tensors.at(i), reference.tolerance);
    if (!what.empty())
      result.differences.push_back(fmt::format("tensor {}: {} ({})", i, what, reference.name));
  }
}

/// The host's own statistics of the checkpoint.
Reference host_reference(const SyntheticCheckpoint& checkpoint, int threads) {
  StatsRuns runs;
  nlohmann::json tensors = nlohmann::json::array();
  if (run_ours(checkpoint, "host", threads, runs)) {
    for (const auto& tensor : runs.tensors) {
      const Statistics& s = tensor->all;
      tensors.push_back({{"nan", s.nan},
                         {"inf", s.inf},
                         {"zeros", s.zeros},
                         {"mean", s.mean},
                         {"std", standard_deviation(s)},
                         {"min", s.min},
                         {"max", s.max},
                         {"absmax", s.absmax}});
    }
  }
  return {"the host", std::move(tensors), 1e-6};
}

/// Who takes turns, and the row that each is for.
struct Turns {
  std::vector<Contestant> contestants;
  std::vector<BenchRow> rows;
};

BenchResult bench_stats(const StatsBenchRequest& request, std::uint64_t bytes) {
  BenchResult result;
  StatusLine status;
  const bool on_host = is_host(request.device);
  std::optional<Device> gpu;  // the floor's; before anything is written, since there may be none
  if (!on_host) gpu = create_device(request.device, {});
  status.show(fmt::format("writing {} to {}", format_byte_size(bytes), request.folder));
  const SyntheticCheckpoint checkpoint(request.folder, bytes, request.keep);
  PythonPeer peer(on_host ? kNumpyPeer : kTorchPeer, request.options.interpreters());
  std::string& peer_is = on_host ? result.numpy : result.torch;
  peer_is = peer.description();
  if (!checkpoint.whole()) return result;
  const std::string name = format_byte_size(bytes);
  const HugeMemory memory(std::min(bytes, kLargestMemory));
  // Read before each of them, not timed: whoever comes right after a pass over the same bytes finds part of
  // them, and the page tables of all, in the last-level cache.
  ReadFloor between(memory.bytes(), 2);
  const MappedFile file(checkpoint.path());
  if (on_host) populate(file.bytes(), 0, file.bytes().size());
  std::vector<StatsRuns> runs(request.options.threads.size());
  Turns turns;
  const auto add = [&](const char* impl, int threads, Contestant contestant) {
    turns.rows.push_back({"stats", name, "", impl, threads, 0, "GB/s"});
    turns.contestants.push_back(
        [&status, &between, impl, threads, contestant = std::move(contestant)]() mutable {
          status.show(fmt::format("{}, {} threads", impl, threads));
          between.time();
          return contestant();
        });
  };
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const int threads = request.options.threads[i];
    add("millrace", threads,
        [&, threads, i] { return run_ours(checkpoint, request.device, threads, runs[i]); });
    if (!on_host) continue;
    add("floor", threads, [&file, floor = ReadFloor(file.bytes(), threads)]() mutable {
      return gigabytes_per_second(file.bytes().size(), floor.time());
    });
  }
  if (!on_host) {
    add("floor", 1, [&, floor = std::make_shared<LinkFloor>(*gpu)] {
      return gigabytes_per_second(checkpoint.bytes(), floor->time(checkpoint.bytes()));
    });
  }
  std::optional<nlohmann::json> answer;
  add(on_host ? "numpy" : "torch", 1, [&]() -> std::optional<double> {
    nlohmann::json asked{{"do", "stats"}, {"path", checkpoint.path()}};
    if (!on_host) asked["device"] = gpu->info().name;
    answer = peer.ask(asked);
    if (!answer) return std::nullopt;
    return gigabytes_per_second(checkpoint.bytes(), answer->at("seconds").get<double>());
  });
  // The warm-up round reads the file, so that all rounds that count find it in the page cache.
  const std::vector<std::optional<double>> medians =
      median_of_rounds(request.options.repetitions, turns.contestants);
  for (std::size_t i = 0; i < turns.rows.size(); ++i) {
    if (!medians[i]) continue;
    turns.rows[i].value = *medians[i];
    result.rows.push_back(turns.rows[i]);
  }
  std::vector<Reference> references;
  if (answer) references.push_back({peer_is.c_str(), answer->at("tensors"), on_host ? 1e-6 : 1e-5});
  if (!on_host && !interrupted())
    references.push_back(host_reference(checkpoint, request.options.threads.back()));
  nlohmann::ordered_json memories = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < runs.size(); ++i) {
    memories.push_back({{"threads", request.options.threads[i]},
                        {"peak_committed_bytes", runs[i].peak_committed},
                        {"memory_limit", runs[i].limit}});
    if (interrupted()) continue;
    for (const Reference& reference : references) compare_all(runs[i], reference, result);
  }
  result.more["device"] = request.device;
  result.more["device_memory"] = std::move(memories);
  peer_is = peer.description();
  return result;
}

void print_stats_bench(const BenchResult& result, const StatsBenchRequest& request) {
  const bool on_host = is_host(request.device);
  const char* const peer = on_host ? "numpy" : "torch";
  Table table({{"checkpoint"},
               {"threads", Align::right},
               {"millrace", Align::right},
               {"floor", Align::right},
               {"of floor", Align::right},
               {peer, Align::right},
               {fmt::format("x {}", peer), Align::right},
               {"device memory", Align::right},
               {"limit", Align::right}});
  std::size_t run = 0;
  for (const BenchRow& row : result.rows) {
    if (row.impl != "millrace") continue;
    BenchRow like = row;
    like.impl = "floor";
    if (!on_host) like.threads = 1;
    const std::optional<double> floor = find_value(result.rows, like);
    like.impl = peer;
    like.threads = 1;
    const std::optional<double> theirs = find_value(result.rows, like);
    const auto cell = [](std::optional<double> value) {
      return value ? fmt::format("{:.2f}", *value) : std::string("-");
    };
    const nlohmann::ordered_json& memory = result.more.at("device_memory").at(run++);
    table.add({row.name, std::to_string(row.threads), cell(row.value), cell(floor),
               floor ? fmt::format("{:.0f}%", 100 * row.value / *floor) : "-", cell(theirs),
               theirs ? fmt::format("{:.1f}", row.value / *theirs) : "-",
               format_byte_size(memory.at("peak_committed_bytes").get<std::uint64_t>()),
               format_byte_size(memory.at("memory_limit").get<std::uint64_t>())});
  }
  table.print(stdout);
  fmt::print(
      "GB/s of bf16, f16 and f32, from a file in the page cache to the statistics of each tensor; median\n"
      "of {} rounds in which all took turns\n",
      request.options.repetitions);
  if (on_host) {
    fmt::print("floor: as many threads read the file's pages, mapped beforehand, and do nothing else\n");
    fmt::print("numpy: {}; one thread, the same statistics in pieces that stay in its cache\n", result.numpy);
  } else {
    fmt::print("floor: as many bytes are copied from pinned memory to {}, and nothing else\n",
               request.device);
    fmt::print("torch: {}; tensor by tensor from the mapped file, the same statistics\n", result.torch);
  }
}

}  // namespace

Command bench_stats_command(CLI::App& parent) {
  CLI::App* const app = parent.add_subcommand(
      "stats",
      "A large checkpoint to statistics, beside NumPy and reading memory, or PyTorch and the link to a GPU");
  const auto request = std::make_shared<StatsBenchRequest>();
  request->options.repetitions = 3;
  request->folder = std::filesystem::temp_directory_path().string();
  add_bench_options(*app, request->options, "");
  app->add_option("--device", request->device, "host, or a name from `millrace devices`")
      ->capture_default_str();
  app->add_option("--size", request->size, "Of the checkpoint, as 512MiB or 4GiB")->capture_default_str();
  app->add_option("--dir", request->folder, "Where it is written; removed at the end")->capture_default_str();
  app->add_flag("--keep", request->keep, "Leave it there for the next run of this size");
  return {app, [request] {
            const std::uint64_t bytes = parse_size("--size", request->size, kSmallestCheckpoint);
            return run_bench(
                request->options, [&] { return bench_stats(*request, bytes); },
                [&](const BenchResult& result) { print_stats_bench(result, *request); });
          }};
}

}  // namespace millrace::tool
