// millrace record: logs of made-up programs, for replay to have input on a machine without a GPU.
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "byte_size.h"
#include "command.h"
#include "formats/file_format_error.h"
#include "output_file.h"
#include "record/log_maker.h"
#include "record/workloads.h"
#include "usage_error.h"

namespace millrace::tool {
namespace {

constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 47U;  // readers take sizes below twice that

struct RecordRequest {
  std::string workload = "random";
  WorkloadOptions options;
  std::string max_size = "4MiB";
  std::string memory_cap = "16000MiB";
  std::string output;
};

std::uint64_t size_of_option(const char* option, const std::string& text) {
  const auto bytes = parse_byte_size(text);
  if (!bytes || *bytes == 0 || *bytes > kMostBytes) {
    throw UsageError(fmt::format("{}: expected a size as 64MiB, 1GB or 1048576, at most 128TiB, found {}",
                                 option, printable(text)));
  }
  return *bytes;
}

int record(RecordRequest& request) {
  WorkloadOptions& options = request.options;
  options.max_size = size_of_option("--max-size", request.max_size);
  options.memory_cap = size_of_option("--memory-cap", request.memory_cap);
  OutputFile out("--output", request.output);
  for (const Workload& workload : workloads()) {
    if (request.workload != workload.name) continue;
    Random random(options.seed);
    LogMaker log(out);
    workload.make(options, random, log);
    out.end();
    if (!out.is_stdout()) {
      fmt::print("{}: {}, {} events, peak live {}, seed {}\n", printable(request.output), workload.name,
                 format_count(log.events()), format_byte_size(log.peak_live()), options.seed);
    }
  }
  return kDone;
}

}  // namespace

Command record_command(CLI::App& parent) {
  CLI::App* const app = parent.add_subcommand(
      "record", "Write the allocations of a made-up program as RMM logs them, for replay");
  const auto request = std::make_shared<RecordRequest>();
  std::vector<std::string> names;
  std::string footer = "Workloads:";
  for (const Workload& workload : workloads()) {
    names.emplace_back(workload.name);
    footer += fmt::format("\n  {:<12}{}", workload.name, workload.description);
  }
  app->add_option("--workload", request->workload, "Which program")
      ->check(CLI::IsMember(names))
      ->capture_default_str();
  app->add_option("-o,--output", request->output, "Write the log to a file, or to standard output for -")
      ->required();
  app->add_option("--allocations", request->options.allocations, "How many, about; exactly for random")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{100'000'000}))
      ->capture_default_str();
  app->add_option("--max-size", request->max_size, "Of a block, as 4MiB")->capture_default_str();
  app->add_option("--memory-cap", request->memory_cap, "Most bytes live at once (random, multistream)")
      ->capture_default_str();
  app->add_option("--threads", request->options.threads, "Threads (multistream, serving)")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app->add_option("--streams", request->options.streams, "Streams a thread (multistream)")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  const CLI::Option* const seed =
      app->add_option("--seed", request->options.seed, "Repeats a log (default: one from the system)");
  app->footer(footer);
  return {app, [request, seed] {
            if (seed->count() == 0) request->options.seed = std::random_device()();
            return record(*request);
          }};
}

}  // namespace millrace::tool
