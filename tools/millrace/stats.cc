// millrace stats: what is in a checkpoint, tensor by tensor, and how it differs from another.
#include "stats.h"

#include <algorithm>
#include <memory>
#include <thread>

#include <fmt/format.h>

#include "byte_size.h"
#include "command.h"
#include "compare_report.h"
#include "formats/file_format_error.h"
#include "formats/tensor_file.h"
#include "interrupt.h"
#include "open_device.h"
#include "output_file.h"
#include "stats_csv.h"
#include "stats_json.h"
#include "stats_report.h"
#include "stats_resume.h"
#include "stats_run.h"
#include "usage_error.h"

namespace millrace::tool {
namespace {

constexpr int kMostThreads = 256;
constexpr int kMostThreadsByDefault = 16;
/// A device that works by itself is fed by all cores but these: one watches it, one is everybody else's.
constexpr int kCoresLeft = 2;

int threads_of(const StatsRequest& request, const std::string& device) {
  if (request.threads > 0) return request.threads;
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  return std::clamp(is_host(device) ? cores : cores - kCoresLeft, 1, kMostThreadsByDefault);
}

struct Opened {
  Device device;
  int threads;
};

/// auto: a GPU that can't be opened, since others have its memory for instance, is no reason to do nothing.
Opened open_for(const StatsRequest& request) {
  const auto open = [&](const std::string& name) {
    const int threads = threads_of(request, name);
    return Opened{open_device(name, stats_device_options(threads, request.memory_limit)), threads};
  };
  if (request.device != "auto") return open(request.device);
  const std::string name = fastest_device(Device::available());
  if (is_host(name)) return open(name);
  try {
    return open(name);
  } catch (const Error& error) {
    fmt::print(stderr, "millrace: {} can't be used, the host does it instead: {}\n", name, error.message());
    return open("host");
  }
}

std::vector<TensorFile> read_lists(const std::vector<std::string>& paths) {
  std::vector<TensorFile> files = read_tensor_lists(paths);
  if (std::ranges::all_of(files, [](const TensorFile& file) { return file.tensors.empty(); })) {
    throw FileFormatError(files.front().path, std::nullopt, "tensors", "none");
  }
  return files;
}

/// Where --json and --csv go.
struct Outputs {
  explicit Outputs(const StatsRequest& request) : json("--json", request.json), csv("--csv", request.csv) {
    if (json.wanted() && csv.wanted() && request.json == request.csv) {
      throw UsageError(fmt::format("--json and --csv both go to {}; name two places", request.json));
    }
  }

  bool leave_stdout() const { return !json.is_stdout() && !csv.is_stdout(); }

  OutputFile json;
  OutputFile csv;
};

/// --channel without a tensor that has the dimension is most likely a slip.
void check_channel_dim(const std::vector<TensorFile>& files, std::optional<std::int64_t> channel_dim) {
  if (!channel_dim) return;
  std::size_t most = 0;
  for (const TensorFile& file : files) {
    for (const TensorEntry& tensor : file.tensors) {
      if (split_tensor(tensor, channel_dim).kind != SplitKind::no_dimension) return;
      most = std::max(most, tensor.shape.size());
    }
  }
  throw UsageError(
      fmt::format("--channel {}: no tensor has that dimension; they have at most {}", *channel_dim, most));
}

/// What the command line gives and stats takes in another form.
struct CommandLine {
  StatsRequest request;
  std::string memory_limit;
  std::string other;
  CLI::Option* device = nullptr;

  int run() {
    if (!memory_limit.empty()) {
      const auto bytes = parse_byte_size(memory_limit);
      if (!bytes || *bytes == 0) {
        throw UsageError(fmt::format("--memory-limit: expected a size as 64MiB, 1GB or 1048576, found {}",
                                     printable(memory_limit)));
      }
      request.memory_limit = static_cast<std::size_t>(*bytes);
    }
    if (other.empty()) return stats(request);
    if (device->count() > 0 || !memory_limit.empty()) {
      throw UsageError("--compare works on the host; leave out --device and --memory-limit");
    }
    return compare(request, other);
  }
};

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
  Outputs outputs(request);
  const std::vector<TensorFile> files = read_lists(request.paths);
  check_channel_dim(files, request.channel_dim);

  StatsOptions options;
  options.channel_dim = request.channel_dim;
  options.show_progress = !request.quiet;
  if (!request.resume.empty()) options.known = read_resume(request.resume, files, request.channel_dim);

  const Opened opened = open_for(request);
  const Device& device = opened.device;
  options.threads = opened.threads;
  const StatsResult result = run_stats(device, files, options);

  write_stats_json(outputs.json, files, result, request.channel_dim, device);
  write_stats_csv(outputs.csv, files, result, request.channel_dim);
  if (!request.quiet && outputs.leave_stdout()) {
    print_stats(stdout, files, result, request.channel_dim, device);
  }
  return result.interrupted ? kInterrupted : kDone;
}

int compare(const StatsRequest& request, const std::string& other) {
  catch_interrupts();
  explain_bus_errors();
  Outputs outputs(request);
  const std::vector<TensorFile> first = read_lists(request.paths);
  const std::vector<TensorFile> second = read_lists({other});
  const std::vector<TensorPair> pairs = match_tensors(first, second);
  const CompareResult result = run_compare(first, second, pairs, threads_of(request, "host"), !request.quiet);

  const Comparison comparison{first, second, pairs, result};
  write_compare_json(outputs.json, comparison);
  write_compare_csv(outputs.csv, comparison);
  if (!request.quiet && outputs.leave_stdout()) print_comparison(stdout, comparison);
  if (result.interrupted) return kInterrupted;
  return all_identical(comparison) ? kDone : kFoundErrors;
}

Command stats_command(CLI::App& parent) {
  CLI::App* const app =
      parent.add_subcommand("stats", "Statistics of every tensor in .safetensors, .npz and .npy files");
  const auto line = std::make_shared<CommandLine>();
  StatsRequest& request = line->request;
  app->add_option("PATH", request.paths, "Files, folders to search, or indexes of sharded checkpoints")
      ->required();
  line->device = app->add_option("--device", request.device,
                                 "auto (a GPU where there is one), host, or a name from `millrace devices`")
                     ->capture_default_str();
  app->add_option("--threads", request.threads,
                  "Worker threads, a stream each (default: one a core, two less for a GPU)")
      ->check(CLI::Range(1, kMostThreads));
  app->add_option("--memory-limit", line->memory_limit,
                  "Most device memory to take, as 64MiB or 1GB (default: the device's)");
  CLI::Option* const channel = app->add_option(
      "--channel", request.channel_dim, "Statistics of each index of this dimension; negative from the end");
  CLI::Option* const resume = app->add_option("--resume", request.resume,
                                              "JSON of an interrupted run: only what it lacks is computed");
  app->add_option("--compare", line->other,
                  "Another checkpoint: which tensors differ, and by how much (exit code 1 if any)")
      ->excludes(channel)
      ->excludes(resume);
  app->add_option("--json", request.json, "Write JSON to a file, or to standard output for -");
  app->add_option("--csv", request.csv,
                  "Write a row a tensor or channel to a file, or to standard output for -");
  app->add_flag("--quiet", request.quiet, "No table, no progress bar");
  return {app, [line] { return line->run(); }};
}

}  // namespace millrace::tool
