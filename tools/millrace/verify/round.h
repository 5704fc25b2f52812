// One verification round: what its attempts found, and what that makes of it.
#pragma once

#include <array>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace millrace::tool {

inline constexpr int kAttempts = 3;
inline constexpr int kRuleRounds = 3;  ///< complete rounds in a row that the rule asks for

enum class Outcome {
  clean,       ///< ran to its end and found nothing
  failed,      ///< found something
  incomplete,  ///< began, and could not come to its end
  not_run,
};

const char* name(Outcome outcome) noexcept;

/// What somebody has to look at.
struct Finding {
  std::string what;    ///< one line
  std::string repeat;  ///< the command that shows it again, from the root of the sources
  std::string output;  ///< what was printed: an execution, a compiler's words
};

struct Attempt {
  std::string title;
  Outcome outcome = Outcome::not_run;
  std::vector<std::string> methods;
  std::vector<Finding> findings;
  std::vector<std::string> outputs;
  std::string conclusion;
  double seconds = 0;
  nlohmann::ordered_json figures = nlohmann::ordered_json::object();  ///< for programs

  void fail(Finding finding);
  /// Why it could not come to its end; what failed before stays failed.
  void give_up(const std::string& why);
};

/// The program that runs the round, and is what attempt 3 runs.
struct Binary {
  std::string digest;   ///< of the program's file
  std::string built;    ///< when, UTC
  std::string sources;  ///< the digest of those it was built from; empty if unknown
  std::string compiler;
};

struct Host {
  std::string cpu;
  unsigned cores = 0;
};

struct Round {
  int number = 0;
  std::string date;  ///< when it began, UTC
  std::string sources;
  std::size_t files = 0;
  std::string revision;  ///< of version control; empty without it
  Binary binary;
  Host host;
  bool interrupted = false;
  std::array<Attempt, kAttempts> attempts;
  double seconds = 0;

  bool is_stale() const { return binary.sources != sources; }
  /// "CLEAN" if all three attempts were, "FAILED" if one has, else "INCOMPLETE".
  std::string result() const;
};

/// "2026-01-31T12:00:00Z".
std::string utc_now();

}  // namespace millrace::tool
