// The three attempts of a verification round, each of which runs programs of the source tree and judges what
// they say.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "verify/child.h"
#include "verify/round.h"

namespace millrace::tool {

struct AttemptContext {
  std::filesystem::path root;                       ///< of the sources
  std::filesystem::path program;                    ///< the millrace that attempt 3 runs
  std::string sources;                              ///< their digest
  unsigned workers = 1;                             ///< processes or compilers at once
  std::function<void(const std::string&)> doing{};  ///< what is going on, for a terminal
};

/// 1, source and model: the rules that a script holds the sources against, and every scenario over them, each
/// explored by this round or, completely and of the same sources, by an earlier one.
Attempt source_attempt(const AttemptContext& context);

/// 2: each mutant of the sources is noticed.
Attempt mutants_attempt(const AttemptContext& context);

/// 3, runtime: the stress tests with 4 and 8 threads on every device, and shorter on the host in programs
/// with ThreadSanitizer and with AddressSanitizer, and torch's device where torch is installed, each with a
/// seed that nobody had before.
Attempt runtime_attempt(const AttemptContext& context);

/// Builds targets of a preset as ./run does. False, with a finding, if that fails.
bool build_for(Attempt& attempt, const AttemptContext& context, const std::string& preset,
               const std::string& target);

/// A finding that a command shows.
Finding finding_of(const AttemptContext& context, std::string what, const ChildCommand& command,
                   const std::string& output);

}  // namespace millrace::tool
