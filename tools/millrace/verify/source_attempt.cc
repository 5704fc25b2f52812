// Attempt 1: the rules of the house, and every scenario over the sources.
#include <algorithm>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "interrupt.h"
#include "verify/attempts.h"
#include "verify/proofs.h"
#include "verify/report.h"
#include "verify/sha256.h"
#include "verify/sources.h"

namespace millrace::tool {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kProgram = "build/release/bin/verify_scenarios";
constexpr const char* kRuleList = "verify/rules.txt";
constexpr int kSkipped = 77;

/// The commands of verify/rules.txt, which says how it is read.
std::vector<std::vector<std::string>> rules(const AttemptContext& context) {
  std::vector<std::vector<std::string>> commands;
  std::istringstream lines(read_file(context.root / kRuleList));
  for (std::string line; std::getline(lines, line);) {
    line.erase(std::min(line.find('#'), line.size()));
    std::istringstream words(line);
    const std::vector<std::string> command{std::istream_iterator<std::string>(words), {}};
    if (!command.empty()) commands.push_back(command);
  }
  return commands;
}

void check_rules(Attempt& attempt, const AttemptContext& context) {
  for (const std::vector<std::string>& arguments : rules(context)) {
    if (interrupted()) return;
    const ChildCommand command{.arguments = arguments, .environment = {}, .folder = context.root};
    if (context.doing) context.doing(shell_text(command));
    const ChildResult result = run_child(command);
    if (result.succeeded()) {
      attempt.outputs.push_back(fmt::format("{}: nothing found", shell_text(command)));
    } else if (result.end == ChildResult::End::exited && result.status == kSkipped) {
      attempt.outputs.push_back(
          fmt::format("{}: skipped: {}", shell_text(command), without_root(result.errors, context.root)));
    } else if (result.end == ChildResult::End::exited) {
      attempt.fail(finding_of(context, "the sources break a rule", command, result.output + result.errors));
    } else {
      attempt.give_up(fmt::format("{} {}", shell_text(command), result.how_it_ended(command)));
    }
  }
}

/// Runs the scenarios and judges what each line of theirs says.
class Exploration {
 public:
  Exploration(Attempt& attempt, const AttemptContext& context)
      : attempt_(attempt), context_(context), proofs_(context.root, context.sources) {}

  void run() {
    if (!list()) return;
    std::vector<std::string> arguments{kProgram, "--json", "--workers", std::to_string(context_.workers)};
    const std::size_t options = arguments.size();
    for (const std::string& name : names_) {
      if (const Json* const kept = proofs_.find(name)) {
        judge(*kept);
      } else {
        arguments.push_back(name);
      }
    }
    if (arguments.size() > options) explore(arguments);
    conclude();
  }

 private:
  ChildCommand command_of(std::vector<std::string> arguments) const {
    return {.arguments = std::move(arguments),
            .environment = {},
            .folder = context_.root,
            .limit = std::chrono::minutes(20)};
  }

  bool list() {
    const ChildCommand command = command_of({kProgram, "--list", "--json"});
    const ChildResult result = run_child(command, [&](const std::string& line) {
      const Json scenario = Json::parse(line, nullptr, false);
      if (scenario.is_object()) names_.push_back(scenario.value("name", ""));
    });
    if (result.succeeded() && !names_.empty()) return true;
    attempt_.fail(finding_of(context_,
                             "no scenarios are listed: verify_scenarios " + result.how_it_ended(command),
                             command, result.errors));
    return false;
  }

  void explore(const std::vector<std::string>& arguments) {
    const ChildCommand command = command_of(arguments);
    const auto show = [&] {
      if (context_.doing) context_.doing(fmt::format("scenario {} of {}", judged_.size() + 1, names_.size()));
    };
    show();
    const ChildResult result = run_child(command, [&](const std::string& line) {
      const Json scenario = Json::parse(line, nullptr, false);
      if (!scenario.is_object()) return;
      judge(scenario);
      proofs_.add(scenario);
      show();
    });
    if (result.was_stopped()) {
      attempt_.give_up("verify_scenarios " + result.how_it_ended(command));
    } else {
      for (const std::string& name : names_) {
        if (judged_.contains(name)) continue;
        attempt_.fail(finding_of(
            context_,
            fmt::format("{} has no verdict: verify_scenarios {}", name, result.how_it_ended(command)),
            command_of({kProgram, name}), result.errors));
        break;  // what comes after it was not run
      }
    }
    if (Sources(context_.root).digest() == context_.sources) proofs_.save();
  }

  void judge(const Json& scenario) {
    const std::string name = scenario.value("name", "");
    if (!judged_.insert(name).second) return;
    const bool met = scenario.value("met", false);
    const std::string since = scenario.value("kept_since", "");
    const std::string kept = since.empty() ? "" : ", kept since " + since;
    attempt_.outputs.push_back(fmt::format("{}: {} {}, {} executions, {:.2f} s{}", name,
                                           scenario.value("verdict", ""), scenario.value("coverage", ""),
                                           scenario.value("executions", std::uint64_t{0}),
                                           scenario.value("seconds", 0.0), kept));
    executions_ += scenario.value("executions", std::uint64_t{0});
    complete_ += met && scenario.value("expected", "") == "proved" ? 1 : 0;
    met_ += met ? 1 : 0;
    Json figures = scenario;
    figures["report"] = without_root(scenario.value("report", ""), context_.root);
    scenarios_.push_back(std::move(figures));
    if (met) return;
    const std::string replay = scenario.value("replay", "");
    attempt_.fail(
        finding_of(context_,
                   fmt::format("{}: expected {}, found {} ({}): {}", name, scenario.value("expected", ""),
                               scenario.value("verdict", ""), scenario.value("coverage", ""),
                               scenario.value("message", "")),
                   command_of(replay.empty() ? std::vector<std::string>{kProgram, name}
                                             : std::vector<std::string>{kProgram, "--replay", name, replay}),
                   scenario.value("report", "")));
  }

  void conclude() {
    attempt_.conclusion = fmt::format(
        "{} of {} scenarios showed what they are expected to, {} of them that it is proved; {} executions",
        met_, names_.size(), complete_, executions_);
    attempt_.figures = {{"scenarios", scenarios_}, {"executions", executions_}};
  }

  Attempt& attempt_;
  const AttemptContext& context_;
  Proofs proofs_;
  std::vector<std::string> names_;
  std::set<std::string> judged_;
  std::size_t met_ = 0, complete_ = 0;
  std::uint64_t executions_ = 0;
  Json scenarios_ = Json::array();
};

}  // namespace

Attempt source_attempt(const AttemptContext& context) {
  Attempt attempt;
  attempt.outcome = Outcome::clean;
  attempt.methods = {
      "the rules that scripts hold the sources against (verify/rules.txt)",
      "every scenario of verify/scenarios over the production sources, under every execution that C++20's "
      "memory model "
      "allows; what was explored completely in an earlier round of these sources is not explored again"};
  attempt.conclusion = "the scenarios were not run";
  if (!build_for(attempt, context, "release", "verify_scenarios")) return attempt;
  check_rules(attempt, context);
  if (!interrupted()) Exploration(attempt, context).run();
  return attempt;
}

}  // namespace millrace::tool
