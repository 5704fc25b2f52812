// The ledger of verification rounds: a line each, each with the digest of the one before.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "verify/round.h"

namespace millrace::tool {

/// A round's line, less what ties it to the others.
nlohmann::ordered_json ledger_record(const Round& round);

/// How many of the last rounds, counted back from the newest, were about these sources and clean.
struct Streaks {
  int source = 0;    ///< attempt 1 was clean, and no attempt failed or was interrupted
  int complete = 0;  ///< all three attempts were clean, in a program that was built from the sources

  bool rule_is_met() const noexcept { return complete >= kRuleRounds; }
};

/// A folder with ledger.jsonl, the reports of the rounds, and in-progress.json while there is one in
/// progress.
///
/// Thread safety: one thread at a time; processes exclude each other (Claim).
class Ledger {
 public:
  /// Reads it; there is none before the first round. Throws std::runtime_error when it can't be read.
  explicit Ledger(std::filesystem::path folder);

  /// What is wrong with it, a line each: "line 3: ...". Empty if nothing is.
  std::vector<std::string> damage() const;
  std::size_t size() const noexcept { return lines_.size(); }
  int next_number() const noexcept { return static_cast<int>(size()) + 1; }
  Streaks streaks(const std::string& sources) const;

  /// Writes the line of a round durably. report_digest: of the JSON beside it, empty if there is none. Throws
  /// std::runtime_error when it can't.
  void append(const Round& round, const std::string& report_digest);

  const std::filesystem::path& folder() const noexcept { return folder_; }
  /// round-7.json in the folder, for the extension "json".
  std::filesystem::path report_path(int number, const std::string& extension) const;

 private:
  void read();

  std::filesystem::path folder_;
  std::vector<std::string> lines_;  // without their ends
  bool cut_off_ = false;            // the last one has no end
};

/// The right to run a round in a folder; a round that was killed is told by what it left.
///
/// Thread safety: one thread at a time.
class Claim {
 public:
  /// Makes the folder if it must. Throws std::runtime_error if another process has a round in progress.
  explicit Claim(const std::filesystem::path& folder);
  Claim(const Claim&) = delete;
  Claim& operator=(const Claim&) = delete;
  ~Claim();

  /// A round that began and got no line: it was killed, or the machine stopped.
  std::optional<Round> cut_off(const Ledger& ledger) const;
  /// Writes down that the round has begun, so that it counts even if it is killed.
  void begin(const Round& round) const;
  void end() const;

 private:
  std::filesystem::path note_;  // what a round in progress says of itself
  int folder_ = -1;             // locked while there is a claim
};

/// How the rounds stand, also with the one that has no line yet.
struct Standing {
  Streaks streaks;
  bool in_progress = false;
  bool cut_off = false;  ///< the newest one was killed; no streak goes on over it
};

/// Changes nothing. Throws std::runtime_error when the folder can't be read.
Standing standing_of(const Ledger& ledger, const std::string& sources);

/// Writes a file as a whole or not at all, durably. Throws std::runtime_error when it can't.
void write_whole(const std::filesystem::path& path, const std::string& text);

}  // namespace millrace::tool
