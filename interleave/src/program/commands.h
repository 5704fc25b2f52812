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
    "  Exit status: 1 when the checker found something wrong, 2 when a file can't be read or an option is\n"
    "  none, 3 when a line was malformed, 4 when the answers could not be written.\n";

inline constexpr const char* kBenchUsage =
    "usage: interleave bench [--workers N] [NAME...]\n"
    "  Explores programs of known size, all or those named: executions a second.\n"
    "  --workers N  processes that share the work, 1 to 64\n"
    "  Exit status: 1 when a count is wrong, 2 when a name or an option is none.\n";

/// Each takes what stands behind its name and returns the exit status.
int litmus_command(const std::vector<std::string>& arguments);
int bench_command(const std::vector<std::string>& arguments);

}  // namespace interleave
