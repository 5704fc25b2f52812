// millrace bench stats: a checkpoint to statistics, beside NumPy and beside reading as much memory.
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
#include "bench/numpy_peer.h"
#include "bench/options.h"
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
std::optional<double> run_ours(const SyntheticCheckpoint& checkpoint, int threads, StatsRuns& runs) {
  const auto start = std::chrono::steady_clock::now();
  const std::vector<TensorFile> files{read_checkpoint(checkpoint.path())};
  const Device device = create_device("host", stats_device_options(threads, 0));
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

bool close_to(double a, double b) {
  return std::abs(a - b) <= 1e-6 * std::max(std::abs(a), std::abs(b));
}

/// What differs, or nothing.
std::string compare(const Statistics& ours, const nlohmann::json& theirs) {
  const auto count = [&](const char* name) { return theirs.at(name).get<std::int64_t>(); };
  const auto value = [&](const char* name) { return theirs.at(name).get<double>(); };
  if (ours.nan != count("nan") || ours.inf != count("inf") || ours.zeros != count("zeros"))
    return "the counts";
  if (ours.min != value("min") || ours.max != value("max") || ours.absmax != value("absmax"))
    return "the extremes";
  // The mean is close to 0, so its error is one of the deviation's size.
  const double deviation = standard_deviation(ours);
  if (!close_to(deviation, value("std"))) return "the deviation";
  if (std::abs(ours.mean - value("mean")) > 1e-6 * deviation) return "the mean";
  return "";
}

void compare_all(const StatsRuns& runs, const nlohmann::json& answer, BenchResult& result) {
  const nlohmann::json& tensors = answer.at("tensors");
  for (std::size_t i = 0; i < runs.tensors.size(); ++i) {
    const std::string what = compare(runs.tensors[i]->all, tensors.at(i));
    if (!what.empty()) result.differences.push_back(fmt::format("tensor {}: {}", i, what));
  }
}

BenchResult bench_stats(const StatsBenchRequest& request, std::uint64_t bytes) {
  BenchResult result;
  StatusLine status;
  status.show(fmt::format("writing {} to {}", format_byte_size(bytes), request.folder));
  const SyntheticCheckpoint checkpoint(request.folder, bytes, request.keep);
  NumpyPeer peer(request.options.interpreters());
  result.numpy = peer.description();
  if (!checkpoint.whole()) return result;
  const std::string name = format_byte_size(bytes);
  const HugeMemory memory(std::min(bytes, kLargestMemory));
  // Read before each of them, not timed: whoever comes right after a pass over the same bytes finds part of
  // them, and the page tables of all, in the last-level cache.
  ReadFloor between(memory.bytes(), 2);
  const MappedFile file(checkpoint.path());
  populate(file.bytes(), 0, file.bytes().size());
  std::vector<StatsRuns> runs(request.options.threads.size());
  std::vector<Contestant> contestants;
  std::vector<BenchRow> rows;
  const auto add = [&](const char* impl, int threads, Contestant contestant) {
    rows.push_back({"stats", name, "", impl, threads, 0, "GB/s"});
    contestants.push_back([&status, &between, impl, threads, contestant = std::move(contestant)]() mutable {
      status.show(fmt::format("{}, {} threads", impl, threads));
      between.time();
      return contestant();
    });
  };
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const int threads = request.options.threads[i];
    add("millrace", threads, [&, threads, i] { return run_ours(checkpoint, threads, runs[i]); });
    add("floor", threads, [&file, floor = ReadFloor(file.bytes(), threads)]() mutable {
      return gigabytes_per_second(file.bytes().size(), floor.time());
    });
  }
  std::optional<nlohmann::json> answer;
  add("numpy", 1, [&]() -> std::optional<double> {
    answer = peer.ask({{"do", "stats"}, {"path", checkpoint.path()}});
    if (!answer) return std::nullopt;
    return gigabytes_per_second(checkpoint.bytes(), answer->at("seconds").get<double>());
  });
  // The warm-up round reads the file, so that all rounds that count find it in the page cache.
  const std::vector<std::optional<double>> medians =
      median_of_rounds(request.options.repetitions, contestants);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (!medians[i]) continue;
    rows[i].value = *medians[i];
    result.rows.push_back(rows[i]);
  }
  nlohmann::ordered_json memories = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < runs.size(); ++i) {
    memories.push_back({{"threads", request.options.threads[i]},
                        {"peak_committed_bytes", runs[i].peak_committed},
                        {"memory_limit", runs[i].limit}});
    if (answer && !interrupted()) compare_all(runs[i], *answer, result);
  }
  result.more["device_memory"] = std::move(memories);
  result.numpy = peer.description();
  return result;
}

void print_stats_bench(const BenchResult& result, const StatsBenchRequest& request) {
  Table table({{"checkpoint"},
               {"threads", Align::right},
               {"millrace", Align::right},
               {"floor", Align::right},
               {"of floor", Align::right},
               {"numpy", Align::right},
               {"x numpy", Align::right},
               {"device memory", Align::right},
               {"limit", Align::right}});
  std::size_t run = 0;
  for (const BenchRow& row : result.rows) {
    if (row.impl != "millrace") continue;
    BenchRow like = row;
    like.impl = "floor";
    const std::optional<double> floor = find_value(result.rows, like);
    like.impl = "numpy";
    like.threads = 1;
    const std::optional<double> numpy = find_value(result.rows, like);
    const auto cell = [](std::optional<double> value) {
      return value ? fmt::format("{:.2f}", *value) : std::string("-");
    };
    const nlohmann::ordered_json& memory = result.more.at("device_memory").at(run++);
    table.add({row.name, std::to_string(row.threads), cell(row.value), cell(floor),
               floor ? fmt::format("{:.0f}%", 100 * row.value / *floor) : "-", cell(numpy),
               numpy ? fmt::format("{:.1f}", row.value / *numpy) : "-",
               format_byte_size(memory.at("peak_committed_bytes").get<std::uint64_t>()),
               format_byte_size(memory.at("memory_limit").get<std::uint64_t>())});
  }
  table.print(stdout);
  fmt::print(
      "GB/s of bf16, f16 and f32, from a file in the page cache to the statistics of each tensor; median\n"
      "of {} rounds in which all took turns\n",
      request.options.repetitions);
  fmt::print("floor: as many threads read the file's pages, mapped beforehand, and do nothing else\n");
  fmt::print("numpy: {}; one thread, the same statistics in pieces that stay in its cache\n", result.numpy);
}

}  // namespace

Command bench_stats_command(CLI::App& parent) {
  CLI::App* const app =
      parent.add_subcommand("stats", "A large checkpoint to statistics, beside NumPy and reading memory");
  const auto request = std::make_shared<StatsBenchRequest>();
  request->options.repetitions = 3;
  request->folder = std::filesystem::temp_directory_path().string();
  add_bench_options(*app, request->options, "");
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
