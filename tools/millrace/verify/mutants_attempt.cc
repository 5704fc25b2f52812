// Attempt 2: faults put into the sources on purpose, each of which a scenario has to notice.
#include <filesystem>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "verify/attempts.h"
#include "verify/report.h"
#include "verify/sha256.h"

namespace millrace::tool {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr const char* kHarness = "verify/mutants/mutate.py";

void judge(Attempt& attempt, const AttemptContext& context, const Json& mutant) {
  const std::string name = mutant.value("name", "");
  const auto text = [&](const char* key) {
    const auto found = mutant.find(key);
    return found != mutant.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  if (mutant.value("killed", false)) {
    attempt.outputs.push_back(fmt::format("{}: killed by {}: {}", name, text("by"), text("verdict")));
    return;
  }
  const std::string error = text("error");
  attempt.fail(finding_of(
      context,
      error.empty() ? fmt::format("{} survives: nothing notices it ({})", name, text("scenario"))
                    : fmt::format("{} could not be tried", name),
      {.arguments = {"python3", kHarness, "--only", name}, .environment = {}, .folder = context.root},
      error));
}

}  // namespace

Attempt mutants_attempt(const AttemptContext& context) {
  Attempt attempt;
  attempt.outcome = Outcome::clean;
  attempt.methods = {
      "each mutant of verify/mutants, a fault put into the sources on purpose, is built and must be noticed "
      "by the "
      "scenarios of the invariant that it breaks, by the right kind of failure"};
  attempt.conclusion = "the mutants were not tried";
  if (!build_for(attempt, context, "release", "verify_scenarios")) return attempt;
  const fs::path folder = context.root / "build/verify";
  fs::create_directories(folder);
  const fs::path file = folder / "mutants.json";
  fs::remove(file);
  const ChildCommand command{
      .arguments = {"python3", kHarness, "--json", file.string(), "--jobs", std::to_string(context.workers)},
      .environment = {},
      .folder = context.root,
      .limit = std::chrono::minutes(30)};
  if (context.doing) context.doing("mutants");
  const ChildResult result = run_child(command, [&](const std::string& line) {
    if (context.doing) context.doing("mutants: " + line);
  });
  const Json document = fs::exists(file) ? Json::parse(read_file(file), nullptr, false) : Json();
  const bool whole = document.is_object() && document.contains("mutants") && document["mutants"].is_array();
  if (whole) {
    for (const Json& mutant : document["mutants"]) judge(attempt, context, mutant);
    const std::size_t killed = document.value("killed", std::size_t{0}),
                      of = document.value("of", std::size_t{0});
    attempt.conclusion = fmt::format("{} of {} mutants were killed", killed, of);
    attempt.figures = Json::parse(without_root(document.dump(), context.root), nullptr, false);
    if (killed == of && of > 0 && result.succeeded()) return attempt;
  }
  if (result.was_stopped()) {
    attempt.give_up(fmt::format("{} {}", kHarness, result.how_it_ended(command)));
  } else if (attempt.findings.empty()) {
    attempt.fail(finding_of(
        context, fmt::format("the score is not whole: {} {}", kHarness, result.how_it_ended(command)),
        command, result.output + result.errors));
  }
  return attempt;
}

}  // namespace millrace::tool
