// What every subcommand is to main: something added to the command line, and what to run if chosen.
#pragma once

#include <functional>

#include <CLI/CLI.hpp>

namespace millrace::tool {

/// How the program ends. Scripts rely on these.
enum ExitCode : int {
  kDone = 0,
  kFoundErrors = 1,   ///< the work itself found something wrong, or two things that differ
  kUsage = 2,         ///< the command line asks for something that does not exist
  kBadInput = 3,      ///< a file is not what it claims to be
  kDeviceFailed = 4,  ///< the device or its memory
  kInterrupted = 5,   ///< Ctrl-C; what was done so far is written and marked
};

struct Command {
  CLI::App* app = nullptr;
  std::function<int()> run;  ///< an ExitCode; throws what main turns into one
};

Command devices_command(CLI::App& parent);
Command stats_command(CLI::App& parent);
Command stress_command(CLI::App& parent);
Command bench_alloc_command(CLI::App& parent);
Command bench_reduce_command(CLI::App& parent);
Command bench_small_command(CLI::App& parent);
Command bench_stats_command(CLI::App& parent);
Command replay_command(CLI::App& parent);
Command record_command(CLI::App& parent);
Command sample_command(CLI::App& parent);
Command tour_command(CLI::App& parent);
Command verify_command(CLI::App& parent);

}  // namespace millrace::tool
