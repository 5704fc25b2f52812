#include "bench/options.h"

#include <algorithm>
#include <memory>
#include <thread>

#include <fmt/format.h>

#include "byte_size.h"
#include "command.h"
#include "formats/file_format_error.h"
#include "interrupt.h"
#include "json_output.h"
#include "usage_error.h"

namespace millrace::tool {
namespace {

constexpr int kMostThreads = 256;

}  // namespace

std::vector<int> parse_threads(const std::string& text) {
  std::vector<int> threads;
  for (const std::string& item : CLI::detail::split(text, ',')) {
    int value = 0;
    if (!CLI::detail::lexical_cast(item, value) || value < 1 || value > kMostThreads) {
      throw CLI::ValidationError("--threads",
                                 fmt::format("expected numbers from 1 to {} with commas between, found {}",
                                             kMostThreads, printable(text)));
    }
    threads.push_back(value);
  }
  return threads;
}

std::uint64_t parse_size(const std::string& option, const std::string& text, std::uint64_t smallest) {
  const std::optional<std::uint64_t> bytes = parse_byte_size(text);
  if (!bytes || *bytes < smallest) {
    throw UsageError(fmt::format("{}: expected a size as 64MiB or 1GB, at least {}, found {}", option,
                                 format_byte_size(smallest), printable(text)));
  }
  return *bytes;
}

void add_bench_options(CLI::App& app, BenchOptions& options, const std::string& threads) {
  const auto list = std::make_shared<std::string>(threads);
  if (list->empty()) {
    *list =
        std::to_string(std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, kMostThreads));
  }
  app.add_option("--threads", *list, "Thread counts, with commas between")->capture_default_str();
  app.add_option("--repetitions", options.repetitions, "Rounds; the median is shown")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_flag_callback(
      "--no-peers", [&options] { options.peers = false; }, "Leave NumPy and PyTorch out");
  app.add_option("--json", options.json, "Write JSON to a file, or to standard output for -");
  app.parse_complete_callback([list, &options] { options.threads = parse_threads(*list); });
}

int run_bench(const BenchOptions& options, const std::function<BenchResult()>& bench,
              const std::function<void(const BenchResult&)>& print) {
  catch_interrupts();
  JsonOutput json(options.json);
  const BenchResult result = bench();
  nlohmann::ordered_json document = bench_json(result);
  if (interrupted()) document["partial"] = true;
  json.write(document);
  if (!json.is_stdout()) {
    print(result);
    if (interrupted()) fmt::print("partial: interrupted\n");
  }
  for (const std::string& difference : result.differences) {
    fmt::print(stderr, "millrace: not the result of its peer: {}\n", difference);
  }
  if (!result.differences.empty()) return kFoundErrors;
  return interrupted() ? kInterrupted : kDone;
}

}  // namespace millrace::tool
