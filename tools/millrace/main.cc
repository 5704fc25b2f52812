// millrace: the command line. Each subcommand is a file of its own; this one chooses between them and
// turns failures into exit codes and one line on standard error.
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <vector>

#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <CLI/CLI.hpp>

#include <millrace/error.h>
#include <millrace/version.h>

#include "command.h"
#include "usage_error.h"

namespace millrace::tool {
namespace {

int exit_code_of(const Error& error) {
  return error.code() == ErrorCode::FileFormat ? kBadInput : kDeviceFailed;
}

int run(const Command& command) {
  try {
    const int code = command.run();
    // A full disk or a closed pipe shows here, and a script must not take it for success.
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
      spdlog::error("cannot write to standard output");
      return kFoundErrors;
    }
    return code;
  } catch (const UsageError& error) {
    spdlog::error("{}", error.what());
    return kUsage;
  } catch (const Error& error) {
    spdlog::error("{}", error.code() == ErrorCode::FileFormat ? error.message() : error.what());
    return exit_code_of(error);
  } catch (const std::bad_alloc&) {
    spdlog::error("out of host memory");
    return kDeviceFailed;
  } catch (const std::exception& error) {
    spdlog::error("{}", error.what());
    return kFoundErrors;
  }
}

int run_program(int argc, char** argv) {
  spdlog::set_default_logger(spdlog::stderr_logger_mt("millrace"));
  spdlog::set_pattern("millrace: %v");

  CLI::App app("Many threads, one accelerator: its memory, its streams, its reductions.", "millrace");
  app.set_version_flag("--version", fmt::format("millrace {}", kVersion));
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 done, 1 the work found errors or differences, 2 usage, 3 bad input, 4 device or memory "
      "failure, 5 interrupted.");
  CLI::App* const bench = app.add_subcommand("bench", "Measure, with peers in the same run");
  bench->require_subcommand(1);
  const std::vector<Command> commands{devices_command(app),
                                      stats_command(app),
                                      stress_command(app),
                                      bench_alloc_command(*bench),
                                      bench_reduce_command(*bench),
                                      bench_small_command(*bench),
                                      bench_stats_command(*bench),
                                      replay_command(app),
                                      record_command(app),
                                      sample_command(app),
                                      tour_command(app),
                                      verify_command(app)};
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kDone : kUsage;
  }
  for (const Command& command : commands) {
    if (command.app->parsed()) return run(command);
  }
  return kUsage;
}

}  // namespace
}  // namespace millrace::tool

int main(int argc, char** argv) {
  return millrace::tool::run_program(argc, argv);
}
