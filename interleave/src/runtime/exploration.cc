#include "runtime/exploration.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>
#include <stdexcept>

#include "report/tell.h"
#include "runtime/blocking_impl.h"
#include "runtime/ending_impl.h"
#include "runtime/guide.h"
#include "runtime/heap.h"
#include "runtime/heap_impl.h"
#include "runtime/interposed.h"
#include "runtime/operations_impl.h"
#include "runtime/runner_impl.h"

namespace interleave {
namespace {

using Clock = std::chrono::steady_clock;

template <int W>
class View final : public GraphView {
 public:
  View(const Graph<W>& graph, const Addresses& addresses) : graph_(graph), addresses_(addresses) {}

  std::vector<ReadFrom> reads() const override {
    std::vector<ReadFrom> all;
    for (int e = 0; e < graph_.size(); ++e) {
      if (graph_[e].reads()) all.push_back({name(e), name(graph_[e].source)});
    }
    std::sort(all.begin(), all.end(), [](const ReadFrom& a, const ReadFrom& b) {
      return std::pair(a.read.thread, a.read.index) < std::pair(b.read.thread, b.read.index);
    });
    return all;
  }
  std::vector<Name> order(const void* address) const override {
    std::vector<Name> writes;
    graph_.each_location([&](int l, const typename Graph<W>::Location& location) {
      if (addresses_.object(l).address != address) return;
      for (int i = 0; i < location.count; ++i) writes.push_back(name(location.order[i]));
    });
    return writes;
  }

 private:
  Name name(int e) const { return e < 0 ? Name{} : Name{graph_[e].thread, graph_[e].index}; }
  const Graph<W>& graph_;
  const Addresses& addresses_;
};

/// Names an execution by what each event of each thread reads and where it is in modification order.
template <int W>
std::string fingerprint(const Graph<W>& graph) {
  std::map<std::pair<int, int>, std::string> events;
  const auto name = [&](int e) {
    return e < 0 ? std::string("i") : std::to_string(graph[e].thread) + "." + std::to_string(graph[e].index);
  };
  for (int e = 0; e < graph.size(); ++e) {
    const Event<W>& event = graph[e];
    std::string text;
    if (event.reads()) text += "r" + name(event.source) + (event.kind == Kind::load ? "-" : "+");
    if (event.kind == Kind::choice) text += "c" + std::to_string(event.value);
    if (event.access == Access::notify_one) text += "n" + std::to_string(event.choice);
    if (event.writes()) text += "w" + std::to_string(event.place);
    events[{event.thread, event.index}] = text;
  }
  std::string all;
  for (const auto& [key, text] : events)
    all += std::to_string(key.first) + "." + std::to_string(key.second) + text + " ";
  return all;
}

/// The script without what can be left out: from the end, steps that no step left refers to, as long as the
/// run fails the same way with fewer events. size runs a script and gives its events, or -1 if it does not
/// fail so.
template <typename Size>
Script shrunk(Script script, const Size& size) {
  constexpr int kTries = 200;
  int smallest = size(script);
  int tries = 0;
  for (std::size_t i = script.steps.size(); i-- > 0 && tries < kTries;) {
    const int gone = static_cast<int>(i);
    const bool needed = std::any_of(script.steps.begin() + gone, script.steps.end(), [&](const Step& step) {
      return &step != &script.steps[i] &&
             ((step.given && step.other == gone) || step.thread == script.steps[i].thread);
    });
    if (needed) continue;
    Script shorter = script;
    shorter.steps.erase(shorter.steps.begin() + gone);
    for (Step& step : shorter.steps) {
      if (step.other > gone) --step.other;
    }
    ++tries;
    const int events = size(shorter);
    if (events < 0 || events >= smallest) continue;
    smallest = events;
    script = std::move(shorter);
  }
  return script;
}

/// One check with an engine for 64 * W events. False when runs need more.
template <int W>
class Exploration {
 public:
  Exploration(const Options& options, const std::function<void()>& body, Observer* observer)
      : options_(options),
        observer_(observer),
        stack_(std::max<std::uint64_t>(options.max_memory, 1 << 20)),
        runner_(new Runner<W>(options, body, stack_)) {}

  bool run(Result& result, bool& race) {
    const Clock::time_point begin = Clock::now();
    runner_->explorer.graph.clear();
    runner_->explorer.push_graph();
    bool fits = true;
    for (std::uint64_t runs = 0; const std::byte* next = stack_.pop(); ++runs) {
      runner_->explorer.graph.load(next);
      const Ending ending = runner_->run();
      if (ending == Ending::too_long) {
        fits = false;
        break;
      }
      if (ending == Ending::complete) {
        ++result.executions;
        race = race || runner_->had_plain_race();
        if (observer_ != nullptr) {
          observer_->complete(View<W>(runner_->explorer.graph, runner_->addresses()),
                              runner_->had_plain_race());
        }
        if (options_.duplicates && !seen_.insert(fingerprint(runner_->explorer.graph)).second) {
          result.verdict = Verdict::nondeterministic;
          result.message = "an execution was met twice: " + fingerprint(runner_->explorer.graph);
          break;
        }
      } else if (ending == Ending::blocked) {
        ++result.blocked;
      } else if (ending == Ending::bounded) {
        ++result.bounded;
      } else {
        report(result);
        break;
      }
      if (options_.max_executions != 0 && result.executions >= options_.max_executions) break;
    }
    result.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    return fits;
  }

  /// The run that a replay string names.
  bool replay(const std::string& text, Result& result) {
    const Script script = parse_script(text);
    const Clock::time_point begin = Clock::now();
    const Ending ending = perform(script, true);
    result.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    if (ending == Ending::failed) {
      fill(result, script);
    } else {
      result.executions = ending == Ending::complete ? 1 : 0;
      result.blocked = ending == Ending::blocked ? 1 : 0;
      result.bounded = ending == Ending::bounded ? 1 : 0;
      result.coverage = Coverage::bounded;
    }
    return ending != Ending::too_long;
  }

 private:
  Ending perform(const Script& script, bool trace) {
    Guide guide(script);
    guide.follow(runner_->explorer.graph);
    runner_->explorer.graph.clear();
    runner_->steer(&guide);
    runner_->trace(trace);
    const Ending ending = runner_->run();
    runner_->steer(nullptr);
    runner_->trace(false);
    return ending;
  }

  /// The result of the failed run that was just traced.
  void fill(Result& result, const Script& script) {
    Story story = Teller<W>(*runner_).story();
    story.replay = to_string(script);
    result.verdict = story.verdict;
    result.message = story.message;
    result.where = story.where;
    result.other = story.other;
    result.replay = story.replay;
    result.report = format(story);
  }

  /// Runs the execution that has just failed again, the shortest way that still fails, and reports that.
  void report(Result& result) {
    const Failure failure = runner_->failure();
    const Graph<W>& graph = runner_->explorer.graph;
    const auto size = [&](const Script& script) {
      const bool same =
          perform(script, false) == Ending::failed && runner_->failure().verdict == failure.verdict;
      return same ? graph.size() : -1;
    };
    Script script = script_of(graph, graph.all());
    Script last = script;  // with the thread that failed going on
    last.last = failure.thread;
    if (size(last) >= 0) {
      script = last;
    }
    if (size(script) >= 0) {
      if (options_.shrink) script = shrunk(script, size);
      if (perform(script, true) == Ending::failed) return fill(result, script);
    }
    const std::vector<Where> places = resolve({failure.where, failure.other});
    result.verdict = failure.verdict;
    result.message = failure.message;
    result.where = places[0];
    result.other = places[1];
    result.report = std::string("interleave: ") + name(failure.verdict) + "\n  " + failure.message +
                    "\n  (run the same way again, the test did something else: it depends on what the "
                    "checker does not control)\n";
  }

  const Options& options_;
  Observer* observer_;
  Stack stack_;
  std::unique_ptr<Runner<W>> runner_;
  std::set<std::string> seen_;
};

}  // namespace

Result explore(const Options& options, const std::function<void()>& body, Observer* observer,
               bool* plain_race) {
  install_heap();
  const Interposed interposed;
  Result result;
  bool race = false;
  const char* environment = std::getenv("INTERLEAVE_REPLAY");
  const std::string replay = !options.replay.empty()  ? options.replay
                             : environment != nullptr ? environment
                                                      : "";
  const auto with = [&](auto exploration) {
    result = Result();
    return replay.empty() ? exploration->run(result, race) : exploration->replay(replay, result);
  };
  if (!with(std::make_unique<Exploration<1>>(options, body, observer)) &&
      !with(std::make_unique<Exploration<2>>(options, body, observer))) {
    with(std::make_unique<Exploration<4>>(options, body, observer));
  }
  if (plain_race != nullptr) *plain_race = race;
  return result;
}

Result check(const Options& options, const std::function<void()>& body) {
  return explore(options, body, nullptr, nullptr);
}

Result check(const std::function<void()>& body) {
  return check(Options(), body);
}

}  // namespace interleave
