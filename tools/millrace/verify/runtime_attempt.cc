// Attempt 3: the program itself, under many threads.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "interrupt.h"
#include "stress/runner.h"
#include "verify/attempts.h"
#include "verify/report.h"

namespace millrace::tool {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<int, 2> kThreads{4, 8};
constexpr std::uint64_t kShorter = 10;  // iterations under a sanitizer are so many times fewer
constexpr int kNoTorch = 77;            // scripts/pytorch-run

/// A program, and what it needs to be run.
struct Flavour {
  std::string name;  ///< "release"
  std::vector<std::string> prefix;
  std::vector<std::string> environment;
  std::uint64_t divisor = 1;
};

/// One run of a stress: what the round says of it, and how it is asked for.
struct Run {
  std::string program, kind, device;
  int threads = 0;
  std::uint32_t seed = 0;
  std::uint64_t iterations = 0;  ///< 0: as many as the program itself thinks right
  ChildCommand command;
};

/// Each kind of stress in one program on one device.
class Stress {
 public:
  Stress(Attempt& attempt, const AttemptContext& context) : attempt_(attempt), context_(context) {}

  void run(const Flavour& flavour, const std::string& device) {
    for (const int threads : kThreads) {
      const std::uint32_t seed = fresh_seed();
      for (const StressKind& kind : stress_kinds()) {
        if (interrupted()) return attempt_.give_up("the stress was interrupted");
        Run run{.program = flavour.name,
                .kind = std::string(kind.name),
                .device = device,
                .threads = threads,
                .seed = seed,
                .iterations = std::max<std::uint64_t>(kind.iterations / flavour.divisor, 1),
                .command = {.arguments = flavour.prefix,
                            .environment = flavour.environment,
                            .folder = context_.root,
                            .limit = std::chrono::minutes(3)}};
        for (const std::string& word :
             {std::string("stress"), run.kind, std::string("--device"), device, std::string("--threads"),
              std::to_string(threads), std::string("--iterations"), std::to_string(run.iterations),
              std::string("--seed"), std::to_string(seed)}) {
          run.command.arguments.push_back(word);
        }
        judge(run);
      }
    }
  }

  /// torch's device, where there is a torch; the script builds it from these sources.
  void run_torch() {
    const auto script = [&](std::vector<std::string> arguments, std::chrono::minutes limit) {
      arguments.insert(arguments.begin(), {"scripts/pytorch-run", "--no-install"});
      return ChildCommand{
          .arguments = std::move(arguments), .environment = {}, .folder = context_.root, .limit = limit};
    };
    if (context_.doing) context_.doing("building torch's device");
    const ChildCommand build = script({"-c", "import millrace_torch"}, std::chrono::minutes(30));
    const ChildResult built = run_child(build);
    if (built.end == ChildResult::End::exited && built.status == kNoTorch) {
      return attempt_.outputs.push_back("torch: not installed, its device was not run");
    }
    if (!built.succeeded()) return refuse(built, build, "torch's device");
    for (const int threads : kThreads) {
      if (interrupted()) return attempt_.give_up("the stress was interrupted");
      const std::uint32_t seed = fresh_seed();
      judge({.program = "torch",
             .kind = "all",
             .device = "millrace:0",
             .threads = threads,
             .seed = seed,
             .command = script({"-m", "millrace_torch", "stress", "all", "--threads", std::to_string(threads),
                                "--seed", std::to_string(seed)},
                               std::chrono::minutes(10))});
    }
  }

  void conclude() {
    attempt_.figures = {{"seeds", seeds_}, {"runs", runs_}};
    attempt_.conclusion =
        fmt::format("{} of {} runs passed, {} iterations", passed_, runs_.size(), iterations_);
  }

 private:
  std::uint32_t fresh_seed() {
    seeds_.push_back(fresh_());
    return seeds_.back();
  }

  void judge(const Run& run) {
    const std::string what = fmt::format("{}: stress {} on {}, {} threads, seed {}", run.program, run.kind,
                                         run.device, run.threads, run.seed);
    if (context_.doing) context_.doing(what);
    const ChildResult result = run_child(run.command);
    // What takes too long may wait for what never comes: that is a finding.
    if (result.was_stopped() && result.end != ChildResult::End::timed_out) {
      return refuse(result, run.command, what);
    }
    runs_.push_back({{"program", run.program},
                     {"kind", run.kind},
                     {"device", run.device},
                     {"threads", run.threads},
                     {"seed", run.seed},
                     {"iterations", run.iterations},
                     {"passed", result.succeeded()},
                     {"seconds", result.seconds}});
    iterations_ += run.iterations;
    if (!result.succeeded()) {
      return attempt_.fail(finding_of(context_, fmt::format("{} {}", what, result.how_it_ended(run.command)),
                                      run.command, result.output + result.errors));
    }
    ++passed_;
    attempt_.outputs.push_back(run.iterations == 0 ? fmt::format("{}: passed, {:.2f} s", what, result.seconds)
                                                   : fmt::format("{}: passed, {} iterations, {:.2f} s", what,
                                                                 run.iterations, result.seconds));
  }

  void refuse(const ChildResult& result, const ChildCommand& command, const std::string& what) {
    const std::string how = fmt::format("{} {}", what, result.how_it_ended(command));
    if (result.was_stopped() && result.end != ChildResult::End::timed_out) return attempt_.give_up(how);
    attempt_.fail(finding_of(context_, how, command, result.output + result.errors));
  }

  Attempt& attempt_;
  const AttemptContext& context_;
  std::random_device fresh_;
  std::vector<std::uint32_t> seeds_;
  Json runs_ = Json::array();
  std::size_t passed_ = 0;
  std::uint64_t iterations_ = 0;
};

/// As `millrace devices` names them; asked of another process, which keeps no device open meanwhile.
std::vector<std::string> devices(Attempt& attempt, const AttemptContext& context) {
  std::vector<std::string> names;
  const ChildCommand command{.arguments = {context.program.string(), "devices", "--json"},
                             .environment = {},
                             .folder = context.root};
  const ChildResult result = run_child(command);
  const Json document = Json::parse(result.output, nullptr, false);
  if (result.succeeded() && document.is_object() && document.contains("devices")) {
    for (const Json& device : document["devices"]) names.push_back(device.value("name", ""));
  }
  if (names.empty() && !interrupted()) {
    attempt.fail(finding_of(context, "no devices are listed", command, result.output + result.errors));
  }
  return names;
}

std::string with(const char* variable, const std::string& options) {
  const char* const before = std::getenv(variable);
  return fmt::format("{}={}{}{}", variable, options, before == nullptr ? "" : ":",
                     before == nullptr ? "" : before);
}

/// setarch, where it may be used: kernels that randomise addresses more than ThreadSanitizer expects.
std::vector<std::string> without_randomisation(const AttemptContext& context) {
  const std::vector<std::string> words{"setarch", "-R"};
  const ChildResult result =
      run_child({.arguments = {"setarch", "-R", "true"}, .environment = {}, .folder = context.root});
  return result.succeeded() ? words : std::vector<std::string>();
}

}  // namespace

Attempt runtime_attempt(const AttemptContext& context) {
  Attempt attempt;
  attempt.outcome = Outcome::clean;
  attempt.methods = {
      "each stress test with 4 and 8 threads and a seed of its own, on every device that there is, every "
      "result checked",
      "the same with a tenth of the iterations on the host, in a build with ThreadSanitizer and in one with "
      "AddressSanitizer and UndefinedBehaviorSanitizer",
      "where torch is installed, each stress of torch's device with 4 and 8 threads, against the CPU's "
      "results"};
  Stress stress(attempt, context);
  for (const std::string& device : devices(attempt, context)) {
    stress.run({"release", {context.program.string()}, {}, 1}, device);
  }
  std::vector<std::string> tsan = without_randomisation(context);
  tsan.emplace_back("build/tsan/bin/millrace");
  const std::array<Flavour, 2> sanitized{
      {{"tsan",
        tsan,
        {with("TSAN_OPTIONS", "halt_on_error=1:second_deadlock_stack=1:die_after_fork=0")},
        kShorter},
       {"asan",
        {"build/asan/bin/millrace"},
        {with("ASAN_OPTIONS", "detect_stack_use_after_return=1:strict_string_checks=1"),
         with("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1")},
        kShorter}}};
  for (const Flavour& flavour : sanitized) {
    if (interrupted()) break;
    if (build_for(attempt, context, flavour.name, "millrace_program")) stress.run(flavour, "host:0");
  }
  if (!interrupted()) stress.run_torch();
  if (interrupted()) attempt.give_up("it was interrupted");
  stress.conclude();
  return attempt;
}

}  // namespace millrace::tool
