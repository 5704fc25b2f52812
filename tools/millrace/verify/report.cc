#include "verify/report.h"

#include <sstream>
#include <string_view>

#include <fmt/format.h>

#include "verify/ledger.h"

namespace millrace::tool {
namespace {

constexpr std::size_t kOutputLines = 200;  // of one finding; the JSON has all of them

void add_list(std::string& text, const char* title, const std::vector<std::string>& lines) {
  text += fmt::format("  {}\n", title);
  for (const std::string& line : lines) text += fmt::format("    - {}\n", line);
  if (lines.empty()) text += "    none\n";
}

void add_output(std::string& text, const std::string& output) {
  std::istringstream lines(output);
  std::size_t count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    if (count < kOutputLines) text += line.empty() ? "\n" : fmt::format("        {}\n", line);
  }
  if (count > kOutputLines)
    text += fmt::format("        ... {} lines more in the JSON\n", count - kOutputLines);
}

void add_findings(std::string& text, const std::vector<Finding>& findings) {
  text += "  Findings\n";
  for (const Finding& finding : findings) {
    text += fmt::format("    - {}\n", finding.what);
    if (!finding.repeat.empty()) text += fmt::format("      to repeat: {}\n", finding.repeat);
    add_output(text, finding.output);
  }
  if (findings.empty()) text += "    none\n";
}

std::string provenance(const Round& round) {
  if (!round.is_stale()) return "from these sources";
  return fmt::format("STALE: not from these sources, but from {}",
                     round.binary.sources.empty() ? "what its build could not tell" : round.binary.sources);
}

nlohmann::ordered_json json_of(const Attempt& attempt) {
  nlohmann::ordered_json findings = nlohmann::ordered_json::array();
  for (const Finding& finding : attempt.findings) {
    findings.push_back({{"what", finding.what}, {"repeat", finding.repeat}, {"output", finding.output}});
  }
  return {{"title", attempt.title},     {"outcome", name(attempt.outcome)},
          {"methods", attempt.methods}, {"findings", findings},
          {"outputs", attempt.outputs}, {"conclusion", attempt.conclusion},
          {"seconds", attempt.seconds}, {"figures", attempt.figures}};
}

}  // namespace

std::string report_text(const Round& round) {
  const std::string title =
      fmt::format("Verification Round N={} - {} Rigorous Attempts", round.number, kAttempts);
  std::string text = fmt::format("{}\n{}\n\n", title, std::string(title.size(), '='));
  const auto add = [&](const char* what, const std::string& value) {
    text += fmt::format("{:<10}{}\n", what, value);
  };
  add("date", fmt::format("{}, {:.0f} s", round.date, round.seconds));
  add("result", round.result() + (round.interrupted ? ": interrupted" : ""));
  add("sources", fmt::format("{} ({} files)", round.sources, round.files));
  if (!round.revision.empty()) add("revision", round.revision);
  add("binary", fmt::format("{}, built {}", round.binary.digest, round.binary.built));
  add("", provenance(round));
  add("compiler", round.binary.compiler);
  add("host", fmt::format("{}, {} cores", round.host.cpu, round.host.cores));
  for (std::size_t i = 0; i < round.attempts.size(); ++i) {
    const Attempt& attempt = round.attempts[i];
    text += fmt::format("\nAttempt {}: {} - {} ({:.1f} s)\n", i + 1, attempt.title, name(attempt.outcome),
                        attempt.seconds);
    add_list(text, "Methods", attempt.methods);
    add_findings(text, attempt.findings);
    add_list(text, "Outputs", attempt.outputs);
    text += fmt::format("  Conclusion\n    {}\n", attempt.conclusion);
  }
  text += fmt::format("\nAction required\n  {}\n", action_required(round));
  return text;
}

nlohmann::ordered_json report_json(const Round& round) {
  nlohmann::ordered_json attempts = nlohmann::ordered_json::array();
  for (const Attempt& attempt : round.attempts) attempts.push_back(json_of(attempt));
  return {{"title", fmt::format("Verification Round N={} - {} Rigorous Attempts", round.number, kAttempts)},
          {"result", round.result()},
          {"files", round.files},
          {"revision", round.revision},
          {"attempts", attempts},
          {"action_required", action_required(round)},
          {"ledger", ledger_record(round)}};
}

std::string action_required(const Round& round) {
  if (round.result() == "FAILED")
    return "repeat each finding by its command, mend what it shows, begin a new round";
  if (round.interrupted) return "none of this counts: begin a new round";
  if (round.is_stale()) {
    return fmt::format(
        "build the program from these sources ({}) and begin a new round with it; this one counts for "
        "the source streak alone",
        kRebuild);
  }
  for (const Attempt& attempt : round.attempts) {
    if (attempt.outcome == Outcome::incomplete)
      return "put right what kept an attempt from its end, begin a new round";
  }
  if (round.result() == "CLEAN") return "none";
  return "a complete round has all three attempts: millrace verify";
}

std::string without_root(const std::string& text, const std::filesystem::path& root) {
  // Debug information says a place from the folder of the build, which may be that of another checkout:
  // "<folder>/build/release/../../src/...".
  constexpr std::string_view kBuild = "/build/", kUp = "../";
  std::string clean = text;
  for (std::size_t at = 0; (at = clean.find(kBuild, at)) != std::string::npos;) {
    const std::size_t preset_end = clean.find_first_not_of(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", at + kBuild.size());
    std::size_t end = preset_end == std::string::npos ? preset_end : preset_end + 1;
    if (end == std::string::npos || clean[preset_end] != '/' || clean.compare(end, kUp.size(), kUp) != 0) {
      at += kBuild.size();
      continue;
    }
    while (clean.compare(end, kUp.size(), kUp) == 0) end += kUp.size();
    const std::size_t before = clean.find_last_of(" \t\n\"'(", at);
    const std::size_t begin = before == std::string::npos ? 0 : before + 1;
    clean.erase(begin, end - begin);
    at = begin;
  }
  const std::string place = (root / "").string();
  for (std::size_t at = 0; (at = clean.find(place, at)) != std::string::npos;) clean.erase(at, place.size());
  return clean;
}

}  // namespace millrace::tool
