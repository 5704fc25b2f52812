// What the benches have in common: their options, and how their results go out.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "bench/python_peer.h"
#include "bench_report.h"

namespace millrace::tool {

/// "1,2,8" as numbers; CLI::ValidationError unless each is from 1 to 256.
std::vector<int> parse_threads(const std::string& text);

/// A byte size of at least smallest; UsageError that names the option otherwise.
std::uint64_t parse_size(const std::string& option, const std::string& text, std::uint64_t smallest);

struct BenchOptions {
  std::vector<int> threads;
  int repetitions = 5;
  bool peers = true;
  std::string json;

  std::vector<std::string> interpreters() const {
    return peers ? PythonPeer::usual_interpreters() : std::vector<std::string>{};
  }
};

/// Adds --threads, --repetitions, --no-peers and --json. threads: the list that --threads defaults to; empty
/// for one a core. The options must live as long as the app.
void add_bench_options(CLI::App& app, BenchOptions& options, const std::string& threads);

/// Runs a bench and lets its result go where it was asked to, marked where it was interrupted: as JSON, and
/// through print unless the JSON took standard output. Returns an ExitCode: kFoundErrors where a result of
/// Millrace and its peer's differ.
int run_bench(const BenchOptions& options, const std::function<BenchResult()>& bench,
              const std::function<void(const BenchResult&)>& print);

}  // namespace millrace::tool
