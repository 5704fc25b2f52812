#include "verify/ledger.h"

#include <array>
#include <sstream>
#include <utility>

#include <fmt/format.h>

#include "json_output.h"
#include "verify/sha256.h"

namespace millrace::tool {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kFile = "ledger.jsonl";
constexpr std::array<const char*, kAttempts> kNames{"source and model", "mutants", "runtime"};

std::string digest_before(const std::vector<std::string>& lines, std::size_t line) {
  return line == 0 ? std::string(64, '0') : sha256(lines[line - 1]);
}

/// Null for text that is no round's line.
Json parse_line(const std::string& text) {
  const Json line = Json::parse(text, nullptr, false);
  const auto is = [&](const char* key, Json::value_t type) {
    return line.contains(key) && line[key].type() == type;
  };
  const bool whole = line.is_object() && is("round", Json::value_t::number_unsigned) &&
                     is("result", Json::value_t::string) && is("interrupted", Json::value_t::boolean) &&
                     is("attempts", Json::value_t::object) && is("sources", Json::value_t::string) &&
                     is("report", Json::value_t::string) && is("before", Json::value_t::string);
  return whole ? line : Json();
}

bool counts_for_source(const Json& line) {
  return line["result"] != "FAILED" && line["interrupted"] == false && line["attempts"].contains(kNames[0]) &&
         line["attempts"][kNames[0]] == name(Outcome::clean);
}

/// What a report says that the line says, too: so that the last line is held against something as well.
bool is_of(const Json& report, Json line) {
  line.erase("report");
  line.erase("before");
  return report.is_object() && report.contains("ledger") && report["ledger"] == line;
}

}  // namespace

Json ledger_record(const Round& round) {
  Json attempts = Json::object(), seconds = Json::object(), seeds = Json::array();
  for (std::size_t i = 0; i < kAttempts; ++i) {
    const Attempt& attempt = round.attempts[i];
    attempts[kNames[i]] = name(attempt.outcome);
    seconds[kNames[i]] = attempt.seconds;
    if (attempt.figures.contains("seeds")) seeds = attempt.figures["seeds"];
  }
  seconds["round"] = round.seconds;
  return {{"round", round.number},
          {"date", round.date},
          {"result", round.result()},
          {"interrupted", round.interrupted},
          {"attempts", attempts},
          {"sources", round.sources},
          {"binary",
           {{"digest", round.binary.digest},
            {"built", round.binary.built},
            {"sources", round.binary.sources},
            {"stale", round.is_stale()}}},
          {"compiler", round.binary.compiler},
          {"host", {{"cpu", round.host.cpu}, {"cores", round.host.cores}}},
          {"seeds", seeds},
          {"seconds", seconds}};
}

Ledger::Ledger(fs::path folder) : folder_(std::move(folder)) {
  read();
}

void Ledger::read() {
  lines_.clear();
  const fs::path path = folder_ / kFile;
  if (!fs::exists(path)) return;
  const std::string text = read_file(path);
  cut_off_ = !text.empty() && text.back() != '\n';
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) lines_.push_back(line);
}

std::vector<std::string> Ledger::damage() const {
  std::vector<std::string> found;
  int shift = 0;  // told once
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    const Json line = parse_line(lines_[i]);
    if (line.is_null()) {
      found.push_back(
          fmt::format("line {}: expected the JSON object of a round, found \"{:.40}\"", i + 1, lines_[i]));
      continue;
    }
    if (const int number = line["round"].get<int>(); number != static_cast<int>(i) + 1 + shift) {
      found.push_back(fmt::format("line {}: expected round {}, found round {}: lines are missing or moved",
                                  i + 1, static_cast<int>(i) + 1 + shift, number));
      shift = number - static_cast<int>(i) - 1;
    }
    if (line["before"] != digest_before(lines_, i)) {
      found.push_back(
          i == 0 ? "line 1: it had a line before it, which is missing"
                 : fmt::format("line {}: line {} was written after another one than this: one of the two "
                               "was changed, moved or removed",
                               i, i + 1));
    }
    const fs::path path = report_path(line["round"].get<int>(), "json");
    const std::string written = line["report"].get<std::string>();
    if (written.empty() || !fs::exists(path)) continue;
    const std::string report = read_file(path);
    if (sha256(report) != written || !is_of(Json::parse(report, nullptr, false), line)) {
      found.push_back(fmt::format("line {}: it is not the one that {} was written with", i + 1,
                                  path.filename().string()));
    }
  }
  if (cut_off_) found.push_back(fmt::format("line {}: it is cut off", lines_.size()));
  return found;
}

Streaks Ledger::streaks(const std::string& sources) const {
  Streaks streaks;
  bool source = true, complete = true;
  for (auto line = lines_.rbegin(); line != lines_.rend() && source; ++line) {
    const Json round = parse_line(*line);
    if (round.is_null() || round["sources"] != sources) break;
    source = counts_for_source(round);
    complete = complete && source && round["result"] == "CLEAN";
    streaks.source += source ? 1 : 0;
    streaks.complete += complete ? 1 : 0;
  }
  return streaks;
}

void Ledger::append(const Round& round, const std::string& report_digest) {
  Json line = ledger_record(round);
  line["report"] = report_digest;
  line["before"] = digest_before(lines_, lines_.size());
  lines_.push_back(json_text(line));
  std::string text;
  for (const std::string& each : lines_) text += each + "\n";
  write_whole(folder_ / kFile, text);
}

fs::path Ledger::report_path(int number, const std::string& extension) const {
  return folder_ / fmt::format("round-{}.{}", number, extension);
}

}  // namespace millrace::tool
