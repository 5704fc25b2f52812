// Runs a verification round and writes down what came of it, whatever ends it.
#pragma once

#include <array>
#include <filesystem>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "verify/attempts.h"
#include "verify/ledger.h"
#include "verify/round.h"

namespace millrace::tool {

using AttemptFunction = std::function<Attempt(const AttemptContext& context)>;

struct RoundSetup {
  std::filesystem::path root;    ///< of the sources
  std::filesystem::path ledger;  ///< its folder
  std::filesystem::path program;
  Binary binary;  ///< the program's
  std::array<bool, kAttempts> wanted{true, true, true};
  std::array<AttemptFunction, kAttempts> attempts{source_attempt, mutants_attempt, runtime_attempt};
  std::function<void(const std::string&)> doing{};  ///< for a terminal
};

/// A ledger that is not what was written: nothing may be added to it.
class LedgerDamaged : public std::runtime_error {
 public:
  LedgerDamaged(const Ledger& ledger, const std::vector<std::string>& damage);
};

/// The next round of the ledger: its attempts, its reports in the ledger's folder, its line. A round that was
/// killed before it gets its line first. Attempt 3 does not run in a stale program, nor does anything that
/// was not asked for; what ran while the sources or the program changed is incomplete. Throws LedgerDamaged,
/// and std::runtime_error where the folder can't be used.
Round run_round(const RoundSetup& setup);

}  // namespace millrace::tool
