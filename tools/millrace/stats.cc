// millrace stats: what is in a checkpoint, tensor by tensor.
#include "stats.h"

#include <algorithm>
#include <memory>
#include <thread>

#include <fmt/format.h>

#include "byte_size.h"
#include "command.h"
#include "formats/file_format_error.h"
#include "formats/tensor_file.h"
#include "interrupt.h"
#include "json_output.h"
#include "open_device.h"
#include "stats_report.h"
#include "stats_run.h"
#include "usage_error.h"

namespace millrace::tool {
namespace {

constexpr int kMostThreads = 256;
constexpr int kMostThreadsByDefault = 16;

int default_threads() {
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, kMostThreadsByDefault);
}

std::vector<TensorFile> read_lists(const std::vector<std::string>& paths) {
  std::vector<TensorFile> files = read_tensor_lists(paths);
  if (std::ranges::all_of(files, [](const TensorFile& file) { return file.tensors.empty(); })) {
    throw FileFormatError(files.front().path, std::nullopt, "tensors", "none");
  }
  return files;
}

}  // namespace

DeviceOptions stats_device_options(int threads, std::size_t memory_limit) {
  DeviceOptions options;
  options.memory_limit = memory_limit;
  options.streams = std::max(options.streams, threads + 1);
  return options;
}

int stats(const StatsRequest& request) {
  catch_interrupts();
  explain_bus_errors();
  JsonOutput json(request.json);
  const std::vector<TensorFile> files = read_lists(request.paths);
  const int threads = request.threads > 0 ? request.threads : default_threads();

  const Device device = open_device(request.device, stats_device_options(threads, request.memory_limit));
  const StatsResult result = run_stats(device, files, threads, !request.quiet);

  if (json.wanted()) json.write(stats_json(files, result, device));
  if (!request.quiet && !json.is_stdout()) print_stats(stdout, files, result, device);
  return result.interrupted ? kInterrupted : kDone;
}

Command stats_command(CLI::App& parent) {
  CLI::App* const app =
      parent.add_subcommand("stats", "Statistics of every tensor in .safetensors, .npz and .npy files");
  const auto request = std::make_shared<StatsRequest>();
  const auto limit = std::make_shared<std::string>();
  app->add_option("PATH", request->paths, "Files, folders to search, or indexes of sharded checkpoints")
      ->required();
  app->add_option("--device", request->device, "auto, host, or a name from `millrace devices`")
      ->capture_default_str();
  app->add_option("--threads", request->threads, "Worker threads, a stream each (default: one a core)")
      ->check(CLI::Range(1, kMostThreads));
  app->add_option("--memory-limit", *limit,
                  "Most device memory to take, as 64MiB or 1GB (default: the device's)");
  app->add_option("--json", request->json, "Write JSON to a file, or to standard output for -");
  app->add_flag("--quiet", request->quiet, "No table, no progress bar");
  return {app, [request, limit] {
            if (!limit->empty()) {
              const auto bytes = parse_byte_size(*limit);
              if (!bytes || *bytes == 0) {
                throw UsageError(fmt::format(
                    "--memory-limit: expected a size as 64MiB, 1GB or 1048576, found {}", printable(*limit)));
              }
              request->memory_limit = static_cast<std::size_t>(*bytes);
            }
            return stats(*request);
          }};
}

}  // namespace millrace::tool
