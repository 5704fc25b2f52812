// interleave litmus: counts the executions of programs in the notation.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <numeric>

#include "interleave/interleave.h"
#include "program/commands.h"
#include "program/litmus_parser.h"
#include "runtime/exploration.h"
#include "runtime/machine.h"

namespace interleave::litmus {
namespace {

struct Settings {
  Options options;
  bool graphs = false;
};

/// Runs the threads of a program.
///
/// Thread safety: one check at a time.
class Interpreter {
 public:
  explicit Interpreter(const Program& program) : program_(program), cells_(program.locations.size()) {
    for (const int count : program.registers) registers_.emplace_back(static_cast<std::size_t>(count));
  }

  void body() {
    for (std::size_t t = 0; t < program_.threads.size(); ++t) {
      starts_[t] = {this, t};
      detail::thread_start(
          [](void* start) { static_cast<Start*>(start)->self->thread(static_cast<Start*>(start)->number); },
          &starts_[t], {});
    }
  }
  const void* address(std::size_t location) const { return &cells_[location]; }

 private:
  struct Start {
    Interpreter* self;
    std::size_t number;
  };

  void thread(std::size_t number) {
    std::fill(registers_[number].begin(), registers_[number].end(), 0);
    run(program_.threads[number], registers_[number]);
  }

  static bool holds(const Operation& operation, std::int64_t value) {
    switch (operation.compare) {
      case Compare::equal: return value == operation.value;
      case Compare::different: return value != operation.value;
      case Compare::greater: return value > operation.value;
      case Compare::at_least: return value >= operation.value;
    }
    return false;
  }

  void run(const std::vector<Operation>& operations, std::vector<std::int64_t>& registers) {
    Machine& machine = *running_machine;
    for (const Operation& operation : operations) {
      const detail::Cell& cell = cells_[static_cast<std::size_t>(operation.location)];
      const auto value =
          static_cast<std::uint64_t>(operation.value) +
          (operation.from < 0
               ? 0
               : static_cast<std::uint64_t>(registers[static_cast<std::size_t>(operation.from)]));
      std::uint64_t loaded = 0;
      switch (operation.what) {
        case What::store:
          if (operation.plain) {
            machine.plain_store(cell, value, {});
          } else {
            machine.store(cell, 0, value, operation.order, {});
          }
          continue;
        case What::load:
          loaded =
              operation.plain ? machine.plain_load(cell, {}) : machine.load(cell, 0, operation.order, {});
          break;
        case What::add:
          loaded = machine.modify(cell, 0, {detail::Rmw::add, 8, value}, operation.order, {});
          break;
        case What::exchange:
          loaded = machine.modify(cell, 0, {detail::Rmw::exchange, 8, value}, operation.order, {});
          break;
        case What::compare_exchange:
          loaded = machine.compare_exchange(cell, 0, static_cast<std::uint64_t>(operation.expected), value,
                                            operation.order, operation.failure, {});
          break;
        case What::fence: machine.fence(operation.order, {}); continue;
        case What::branch:
          if (holds(operation, registers[static_cast<std::size_t>(operation.from)]))
            run(operation.then, registers);
          continue;
      }
      registers[static_cast<std::size_t>(operation.to)] = static_cast<std::int64_t>(loaded);
    }
  }

  const Program& program_;
  std::vector<detail::Cell> cells_;
  std::vector<std::vector<std::int64_t>> registers_;
  Start starts_[litmus::kMaxThreads] = {};
};

/// Prints each execution as a line.
///
/// Thread safety: one thread.
class Printer : public Observer {
 public:
  Printer(const Program& program, const Interpreter& interpreter)
      : interpreter_(interpreter), names_(program.locations) {
    order_.resize(names_.size());
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::sort(order_.begin(), order_.end(),
              [&](std::size_t a, std::size_t b) { return names_[a] < names_[b]; });
  }

  void complete(const GraphView& graph, bool race) override {
    std::string line = "graph";
    for (const GraphView::ReadFrom& read : graph.reads())
      line += " " + text(read.read) + "=" + text(read.source);
    line += " /";
    for (const std::size_t location : order_) {
      const auto writes = graph.order(interpreter_.address(location));
      if (writes.empty()) continue;
      line += " " + names_[location] + ":";
      for (std::size_t i = 0; i < writes.size(); ++i) line += (i == 0 ? "" : ",") + text(writes[i]);
    }
    std::cout << line << (race ? " race\n" : "\n");
  }

 private:
  // The checker's thread 0 is the one that starts the program's.
  static std::string text(GraphView::Name name) {
    return name.thread < 0 ? "init" : std::to_string(name.thread - 1) + "." + std::to_string(name.index);
  }
  const Interpreter& interpreter_;
  const std::vector<std::string>& names_;
  std::vector<std::size_t> order_;
};

/// False when the checker found something wrong.
bool answer(const std::string& line, const Settings& settings) {
  const Program program = parse(line);
  Interpreter interpreter(program);
  Printer printer(program, interpreter);
  bool race = false;
  const Result result = explore(
      settings.options, [&] { interpreter.body(); }, settings.graphs ? &printer : nullptr, &race);
  if (!result.passed()) {
    std::cout << "error: " << result.message << "\n";
    return false;
  }
  char numbers[160];
  std::snprintf(numbers, sizeof(numbers), "executions=%llu race=%s blocked=%llu seconds=%.6f",
                static_cast<unsigned long long>(result.executions), race ? "yes" : "no",
                static_cast<unsigned long long>(result.blocked), result.seconds);
  std::cout << numbers;
  if (result.coverage != Coverage::complete) std::cout << " coverage=" << name(result.coverage);
  std::cout << "\n";
  return true;
}

/// The exit status.
int answer_all(std::istream& input, const std::string& file, const Settings& settings) {
  bool well_formed = true, right = true;
  std::string line;
  for (std::size_t number = 1; std::getline(input, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos || line[0] == '#') continue;
    if (line.back() == '\r') line.pop_back();
    try {
      right = answer(line, settings) && right;
    } catch (const Malformed& error) {
      well_formed = false;
      std::cout << "error: line " << number << ", column " << error.column() << ": " << error.what() << "\n";
    }
    if (!std::cout.flush()) break;
  }
  if (input.bad()) {
    std::cerr << "interleave litmus: can't read " << file << "\n";
    return 2;
  }
  if (!std::cout) {
    std::cerr << "interleave litmus: can't write the answers\n";
    return 4;
  }
  if (!well_formed) return 3;
  return right ? 0 : 1;
}

}  // namespace
}  // namespace interleave::litmus

namespace interleave {

int litmus_command(const std::vector<std::string>& arguments) {
  litmus::Settings settings;
  settings.options.leaks = false;
  std::string file;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--graphs") {
      settings.graphs = true;
    } else if (arguments[i] == "--check") {
      settings.options.duplicates = true;
    } else if (arguments[i] == "--model") {
      const std::string model = ++i < arguments.size() ? arguments[i] : "";
      if (model != "sc" && model != "rc11") {
        std::cerr << "interleave litmus: --model takes rc11 or sc, not '" << model << "'\n";
        return 2;
      }
      settings.options.model = model == "sc" ? Model::sc : Model::rc11;
    } else if (arguments[i] == "--help" || arguments[i] == "-h") {
      std::cout << kLitmusUsage;
      return 0;
    } else if (arguments[i] != "-" && !arguments[i].empty() && arguments[i][0] == '-') {
      std::cerr << "interleave litmus: unknown option " << arguments[i] << "\n" << kLitmusUsage;
      return 2;
    } else if (!file.empty()) {
      std::cerr << "interleave litmus: one file, not " << file << " and " << arguments[i] << "\n"
                << kLitmusUsage;
      return 2;
    } else {
      file = arguments[i];
    }
  }
  if (file.empty() || file == "-") {
    // A stream says of a standard input that is closed, or a folder, no more than that it has ended.
    if (::read(STDIN_FILENO, nullptr, 0) != 0) {
      std::cerr << "interleave litmus: can't read the standard input: " << std::strerror(errno) << "\n";
      return 2;
    }
    return litmus::answer_all(std::cin, "the standard input", settings);
  }
  std::ifstream input(file);
  if (!input || std::filesystem::is_directory(file)) {
    std::cerr << "interleave litmus: can't read " << file << "\n";
    return 2;
  }
  return litmus::answer_all(input, file, settings);
}

}  // namespace interleave
