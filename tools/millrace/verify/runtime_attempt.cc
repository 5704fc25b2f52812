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

/// A program, and what it needs to be run.
struct Flavour {
  std::string name;  ///< "release"
  std::vector<std::string> prefix;
  std::vector<std::string> environment;
  std::uint64_t divisor = 1;
};

/// Each kind of stress in one program on one device.
class Stress {
 public:
  Stress(Attempt& attempt, const AttemptContext& context) : attempt_(attempt), context_(context) {}

  void run(const Flavour& flavour, const std::string& device) {
    for (const int threads : kThreads) {
      const std::uint32_t seed = fresh_();
      seeds_.push_back(seed);
      for (const StressKind& kind : stress_kinds()) {
        if (interrupted()) return attempt_.give_up("the stress was interrupted");
        run(flavour, kind, device, threads, seed);
      }
    }
  }

  void conclude() {
    attempt_.figures = {{"seeds", seeds_}, {"runs", runs_}};
    attempt_.conclusion =
        fmt::format("{} of {} runs passed, {} iterations", passed_, runs_.size(), iterations_);
  }

 private:
  void run(const Flavour& flavour, const StressKind& kind, const std::string& device, int threads,
           std::uint32_t seed) {
    ChildCommand command{.arguments = flavour.prefix,
                         .environment = flavour.environment,
                         .folder = context_.root,
                         .limit = std::chrono::minutes(3)};
    const std::uint64_t iterations = std::max<std::uint64_t>(kind.iterations / flavour.divisor, 1);
    for (const std::string& word :
         {std::string("stress"), std::string(kind.name), std::string("--device"), device,
          std::string("--threads"), std::to_string(threads), std::string("--iterations"),
          std::to_string(iterations), std::string("--seed"), std::to_string(seed)}) {
      command.arguments.push_back(word);
    }
    const std::string what = fmt::format("{}: stress {} on {}, {} threads, seed {}", flavour.name, kind.name,
                                         device, threads, seed);
    if (context_.doing) context_.doing(what);
    const ChildResult result = run_child(command);
    // What takes too long may wait for what never comes: that is a finding.
    if (result.was_stopped() && result.end != ChildResult::End::timed_out) {
      attempt_.give_up(fmt::format("{} {}", what, result.how_it_ended(command)));
      return;
    }
    runs_.push_back({{"program", flavour.name},
                     {"kind", kind.name},
                     {"device", device},
                     {"threads", threads},
                     {"seed", seed},
                     {"iterations", iterations},
                     {"passed", result.succeeded()},
                     {"seconds", result.seconds}});
    iterations_ += iterations;
    if (result.succeeded()) {
      ++passed_;
      attempt_.outputs.push_back(
          fmt::format("{}: passed, {} iterations, {:.2f} s", what, iterations, result.seconds));
    } else {
      attempt_.fail(finding_of(context_, fmt::format("{} {}", what, result.how_it_ended(command)), command,
                               result.output + result.errors));
    }
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
      "AddressSanitizer and UndefinedBehaviorSanitizer"};
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
  if (interrupted()) attempt.give_up("it was interrupted");
  stress.conclude();
  return attempt;
}

}  // namespace millrace::tool
