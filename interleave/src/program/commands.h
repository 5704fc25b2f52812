// The subcommands of the program.
#pragma once

#include <string>
#include <vector>

namespace interleave {

inline constexpr const char* kLitmusUsage =
    "usage: interleave litmus [--model rc11|sc] [--graphs] [--check] [FILE|-]\n"
    "  Counts the executions of litmus programs, one a line: executions=N race=yes|no blocked=N seconds=S\n"
    "  --model sc  interleavings only\n"
    "  --graphs    prints each execution as well\n"
    "  --check     fails if an execution is met twice\n"
    "  Exit status 3 when a line was malformed.\n";

/// Each takes what stands behind its name and returns the exit status.
int litmus_command(const std::vector<std::string>& arguments);
int bench_command(const std::vector<std::string>& arguments);

}  // namespace interleave
