// One execution written down so that it can be run again.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "runtime/runner.h"

namespace interleave {

/// One event of an execution: whose it is, and which way it went where there was a choice.
struct Step {
  static constexpr int kInitial = -1;  // reads the initial value; or is a store before all others
  int thread = 0;
  bool given = false;    // else it took the newest
  int other = kInitial;  // the step read from; of a store: the step just before it in modification order
  int choice = 0;        // of notify_one: the thread; of a choice: which
  bool success = false;  // of try_lock
};

/// An execution as steps in an order in which they can happen, and who goes on after them.
struct Script {
  std::vector<Step> steps;
  int last = -1;  // the thread that goes on; -1: whoever can
};

/// "1.1.2:0.1*3!2": a thread and what it took for each step, repetitions counted; then the last thread.
std::string to_string(const Script& script);
/// Throws std::invalid_argument.
Script parse_script(const std::string& text);

/// Runs a script.
///
/// Thread safety: one thread.
class Guide final : public Steering {
 public:
  explicit Guide(const Script& script) : script_(script) {}

  template <int W>
  void follow(const Graph<W>& graph) {
    place_of_ = [&graph](int step) -> std::optional<int> {
      if (step < 0) return -1;
      if (step >= graph.size() || !graph[step].writes()) return std::nullopt;
      return graph[step].place;
    };
  }
  int next_thread(std::uint32_t ready, int current) override;
  int choose(const Alternative* alternatives, int count, Adding what) override;
  void added(int event) override;
  bool waits(int thread) const override {
    return next_ >= script_.steps.size() || script_.steps[next_].thread != thread;
  }
  /// The test went the way that the script says, to its end.
  bool followed() const noexcept { return !diverged_ && next_ >= script_.steps.size(); }

 private:
  const Script& script_;
  std::function<std::optional<int>(int)> place_of_;  // nothing: that step is no write
  std::size_t next_ = 0;
  bool asked_ = false;  // which way the next step goes
  bool diverged_ = false;
};

/// The script of a graph, in the order of its schedule, of the events that are kept.
template <int W>
Script script_of(const Graph<W>& graph, const Bits<W>& kept) {
  Script script;
  std::vector<int> step_of(static_cast<std::size_t>(graph.size()), -1);
  std::vector<int> thread_of(kMaxThreads, 0);  // numbers are given anew, in the order of making
  int threads = 1;
  for (int i = 0; i < graph.steps(); ++i) {
    const int e = graph.step(i);
    if (!kept.has(e)) continue;
    const Event<W>& event = graph[e];
    Step step;
    step.thread = thread_of[event.thread];
    if (event.kind == Kind::create) thread_of[event.location] = threads++;
    if (event.reads()) {
      step.given = true;
      step.other = event.source < 0 ? Step::kInitial : step_of[static_cast<std::size_t>(event.source)];
      step.choice = thread_of[event.access == Access::notify_one ? event.choice : 0];
      step.success = event.access == Access::try_lock && event.kind == Kind::lock;
    } else if (event.kind == Kind::store) {
      step.given = true;
      const auto& location = graph.at(event.location);
      for (int place = event.place - 1; place >= 0; --place) {
        if (step.other = step_of[location.order[place]]; step.other >= 0) break;
      }
    } else if (event.kind == Kind::choice || event.kind == Kind::fork) {
      step.given = true;
      step.choice = static_cast<int>(event.value);
    }
    step_of[static_cast<std::size_t>(e)] = static_cast<int>(script.steps.size());
    script.steps.push_back(step);
  }
  return script;
}

}  // namespace interleave
