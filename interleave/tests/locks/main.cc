// Explores programs with mutexes from standard input and prints each execution: what
// oracle/locks_differential.py holds against the oracle. The answers are those of `interleave litmus --graphs
// --check`, or "deadlock".
#include <cstdio>
#include <functional>
#include <iostream>
#include <string>

#include "interleave/interleave.h"
#include "locks/program.h"
#include "runtime/exploration.h"

namespace interleave::locks {
namespace {

struct Objects {
  mutex mutexes[kMaxObjects];
  atomic<std::int64_t> locations[kMaxObjects];
};

void run(const std::vector<Operation>& operations, Objects& objects) {
  for (const Operation& operation : operations) {
    mutex& lock = objects.mutexes[operation.object];
    atomic<std::int64_t>& location = objects.locations[operation.object];
    switch (operation.what) {
      case What::lock: lock.lock(); break;
      case What::unlock: lock.unlock(); break;
      case What::attempt:
        if (lock.try_lock()) run(operation.then, objects);
        break;
      case What::store: location.store(operation.value, operation.order); break;
      case What::load: (void)location.load(operation.order); break;
      case What::add: location.fetch_add(operation.value, operation.order); break;
    }
  }
}

/// Prints each execution as a line: locks and try_locks that succeed are the writes of a mutex.
///
/// Thread safety: one thread.
class Printer : public Observer {
 public:
  explicit Printer(const Program& program) : program_(program) {
    for (const auto& [name, number] : program.mutexes) addresses_[name] = nullptr;
    for (const auto& [name, number] : program.locations) addresses_[name] = nullptr;
  }

  /// In each run; it allocates nothing, which would be the run's.
  void found(const Objects& objects) {
    for (const auto& [name, number] : program_.mutexes) addresses_.at(name) = &objects.mutexes[number];
    for (const auto& [name, number] : program_.locations) addresses_.at(name) = &objects.locations[number];
  }

  void complete(const GraphView& graph, bool race) override {
    std::string line = "graph";
    for (const GraphView::ReadFrom& read : graph.reads())
      line += " " + text(read.read) + "=" + text(read.source);
    line += " /";
    for (const auto& [name, address] : addresses_) {
      const auto writes = graph.order(address);
      if (writes.empty()) continue;
      line += " " + name + ":";
      for (std::size_t i = 0; i < writes.size(); ++i) line += (i == 0 ? "" : ",") + text(writes[i]);
    }
    std::cout << line << (race ? " race\n" : "\n");
  }

 private:
  // The checker's thread 0 is the one that starts the program's.
  static std::string text(GraphView::Name name) {
    return name.thread < 0 ? "init" : std::to_string(name.thread - 1) + "." + std::to_string(name.index);
  }
  const Program& program_;
  std::map<std::string, const void*> addresses_;
};

void answer(const Program& program, const Options& options) {
  Printer printer(program);
  bool race = false;
  const auto body = [&] {
    Objects objects;
    printer.found(objects);
    thread threads[kMaxThreads];
    for (std::size_t t = 0; t < program.threads.size(); ++t)
      threads[t] = thread([&program, &objects, t] { run(program.threads[t], objects); });
    for (std::size_t t = 0; t < program.threads.size(); ++t) threads[t].join();
  };
  const Result result = explore(options, body, &printer, &race);
  if (result.verdict == Verdict::deadlock) {
    std::cout << "deadlock\n";
  } else if (!result.proved()) {
    std::cout << "error: " << summary(result) << "\n";
  } else {
    std::cout << "executions=" << result.executions << " race=" << (race ? "yes" : "no")
              << " blocked=" << result.blocked << "\n";
  }
}

}  // namespace
}  // namespace interleave::locks

int main(int count, char** arguments) {
  interleave::Options options;
  options.duplicates = true;
  options.shrink = false;
  const std::string model = count == 3 && std::string(arguments[1]) == "--model" ? arguments[2] : "";
  if (count != 1 && model != "rc11" && model != "sc") {
    std::cerr << "usage: interleave_locks [--model rc11|sc], with programs on standard input\n";
    return 2;
  }
  if (model == "sc") options.model = interleave::Model::sc;
  bool well_formed = true;
  std::string line;
  for (int number = 1; std::getline(std::cin, line); ++number) {
    try {
      interleave::locks::answer(interleave::locks::Parser(line).program(), options);
    } catch (const std::runtime_error& error) {
      well_formed = false;
      std::cout << "error: line " << number << ", " << error.what() << "\n";
    }
    std::cout << std::flush;
  }
  return well_formed ? 0 : 3;
}
