// millrace stress: many threads, one device, every result checked.
#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "command.h"
#include "interrupt.h"
#include "json_output.h"
#include "stress/runner.h"

namespace millrace::tool {
namespace {

struct StressRequest {
  std::string kind = "all";
  StressOptions options;
  double seconds = 0;
  std::string json;
};

void add(StressReport& total, const StressReport& round) {
  total.done += round.done;
  total.expected += round.expected;
  total.errors += round.errors;
  total.seconds += round.seconds;
  if (total.differences.empty()) total.differences = round.differences;
}

nlohmann::ordered_json json_of(const StressKind& kind, const StressReport& report,
                               const StressOptions& options) {
  return {{"kind", kind.name},          {"device", options.device},
          {"threads", options.threads}, {"iterations", report.expected},
          {"done", report.done},        {"errors", report.errors},
          {"seconds", report.seconds},  {"seed", options.seed},
          {"passed", report.passed()},  {"differences", report.differences}};
}

/// Every chosen kind once, and again with further seeds until the time is over. A kind that found
/// something is not run again: its seed repeats it.
int stress(const StressRequest& request) {
  catch_interrupts();
  JsonOutput json(request.json);
  struct Entry {
    const StressKind* kind;
    StressOptions options;
    StressReport report;
  };
  std::vector<Entry> entries;
  for (const StressKind& kind : stress_kinds()) {
    if (request.kind != "all" && request.kind != kind.name) continue;
    entries.push_back({&kind, request.options, {}});
    if (request.options.iterations == 0) entries.back().options.iterations = kind.iterations;
  }
  const auto start = std::chrono::steady_clock::now();
  const auto in_time = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() < request.seconds;
  };
  for (std::uint64_t round = 0; !interrupted() && (round == 0 || in_time()); ++round) {
    for (Entry& entry : entries) {
      if (interrupted() || (round > 0 && !in_time())) break;
      if (!entry.report.passed()) continue;
      entry.options.seed = request.options.seed + round;
      const StressReport report = run_stress(*entry.kind, entry.options);
      add(entry.report, report);
    }
  }

  bool passed = true;
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  for (const Entry& entry : entries) {
    if (entry.report.expected == 0) continue;
    passed = passed && entry.report.passed();
    if (!json.is_stdout()) print_stress(*entry.kind, entry.report, entry.options);
    results.push_back(json_of(*entry.kind, entry.report, entry.options));
  }
  nlohmann::ordered_json document = {{"stress", std::move(results)}};
  if (interrupted()) document["partial"] = true;
  json.write(document);
  if (!passed) return kFoundErrors;
  return interrupted() ? kInterrupted : kDone;
}

}  // namespace

Command stress_command(CLI::App& parent) {
  CLI::App* const app = parent.add_subcommand("stress", "Many threads on one device, every result checked");
  const auto request = std::make_shared<StressRequest>();
  std::vector<std::string> kinds{"all"};
  for (const StressKind& kind : stress_kinds()) kinds.emplace_back(kind.name);
  app->add_option("KIND", request->kind, "What to stress")
      ->check(CLI::IsMember(kinds))
      ->capture_default_str();
  app->add_option("--threads", request->options.threads, "Worker threads")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app->add_option("--iterations", request->options.iterations, "Iterations of each kind, over all threads")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1'000'000'000}));
  const CLI::Option* const seed =
      app->add_option("--seed", request->options.seed, "Repeats a run (default: one from the system)");
  app->add_option("--device", request->options.device, "auto, host, or a name from `millrace devices`")
      ->capture_default_str();
  app->add_option("--seconds", request->seconds, "Go on with further seeds for this long")
      ->check(CLI::NonNegativeNumber);
  app->add_flag("--chaos", request->options.chaos, "Random delays and a random order between streams");
  app->add_flag("--protect", request->options.protect, "Name uses of memory that no wait orders");
  app->add_option("--json", request->json, "Write JSON to a file, or to standard output for -");
  return {app, [request, seed] {
            if (seed->count() == 0) request->options.seed = std::random_device()();
            return stress(*request);
          }};
}

}  // namespace millrace::tool
