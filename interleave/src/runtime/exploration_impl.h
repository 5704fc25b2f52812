// All the runs of one check with an engine of some size.
#pragma once

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <tuple>

#include "report/tell.h"
#include "runtime/blocking_impl.h"
#include "runtime/ending_impl.h"
#include "runtime/exploration.h"
#include "runtime/fork_impl.h"
#include "runtime/guide.h"
#include "runtime/heap_impl.h"
#include "runtime/interposed.h"
#include "runtime/operations_impl.h"
#include "runtime/runner_impl.h"
#include "runtime/sampling.h"
#include "runtime/watchdog.h"
#include "runtime/workers.h"

namespace interleave {

/// A graph as the observer sees it.
///
/// Thread safety: one thread.
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

/// Thread safety: one thread.
template <int W>
class Exploration {
 public:
  Exploration(const Options& options, const std::function<void()>& body, Observer* observer)
      : options_(options),
        observer_(observer),
        stack_(std::max<std::uint64_t>(options.max_memory, std::uint64_t{1} << 20)),
        runner_(new Runner<W>(options, body, stack_)),
        begin_(Clock::now()) {
    if (options.sites) runner_->note_sites(&sites_.emplace());
  }

  /// What the options ask for. False when runs need a larger engine; then the result says nothing.
  bool run(const std::string& replay, Result& result, bool& race) {
    bool fits = true;
    if (!replay.empty()) {
      fits = run_script(replay, result);
    } else if (options_.samples != 0) {
      fits = sample(result);
    } else if (options_.max_preemptions >= 0) {
      fits = few_preemptions(result);
    } else {
      fits = everything(result, race);
    }
    if (sites_) tell_sites(result);
    result.seconds = std::chrono::duration<double>(Clock::now() - begin_).count();
    return fits;
  }

 private:
  using Clock = std::chrono::steady_clock;

  bool out_of_time(std::uint64_t runs) const {
    return options_.max_seconds > 0 && runs % 64 == 0 &&
           std::chrono::duration<double>(Clock::now() - begin_).count() > options_.max_seconds;
  }

  bool everything(Result& result, bool& race) {
    const bool alone = observer_ != nullptr || options_.duplicates || options_.load_buffering_lint;
    Workers workers(alone ? 1 : options_.workers);
    runner_->explorer.graph.clear();
    runner_->explorer.push_graph();
    const bool first = workers.start() == 0;
    if (!first) {
      stack_.clear();
      Interposed::forked();
      assertions_told = true;  // the first process tells, when it runs again what has failed here
    }
    watchdog_.emplace(options_.max_run_seconds);
    runner_->trace(options_.load_buffering_lint);
    explore(workers);
    if (!first) workers.leave();
    const bool well = workers.wait();
    const Counts counts = workers.total();
    result.executions = counts.executions;
    result.blocked = counts.blocked;
    result.bounded = counts.bounded;
    race = counts.race;
    if (counts.bounded != 0 || counts.cut_off) result.coverage = Coverage::bounded;
    if (counts.too_long) return false;
    tell_load_buffering(result);
    runner_->trace(false);
    if (!repeated_.empty()) {
      result.verdict = Verdict::nondeterministic;
      result.message = "an execution was met twice: " + repeated_;
    } else if (workers.failed()) {
      report(parse_script(workers.failure()), result);
    } else if (!well) {
      result.verdict = Verdict::limit;
      result.message =
          workers.lost() + " before its work was done: by the test? Options::workers = 1 shows it";
      result.report = "interleave: " + std::string(name(result.verdict)) + "\n  " + result.message + "\n";
    }
    return true;
  }

  void explore(Workers& workers) {
    Counts& counts = workers.mine();
    for (std::uint64_t runs = 0; !workers.stopping(); ++runs) {
      const std::byte* next = stack_.pop();
      if (next == nullptr) {
        if (!workers.take(stack_)) return;
        continue;
      }
      runner_->explorer.graph.load(next);
      switch (runner_->run()) {
        case Ending::complete: completed(counts, workers); break;
        case Ending::blocked: ++counts.blocked; break;
        case Ending::bounded: ++counts.bounded; break;
        case Ending::too_long:
          counts.too_long = true;
          workers.stop();
          break;
        case Ending::failed:
          failed_thread_ = runner_->failure().thread;
          verdict_ = runner_->failure().verdict;
          workers.fail(to_string(failing_script()));
          break;
      }
      if (runs % 4096 == 0) workers.look_after();
      if (runner_->explorer.out_of_memory() || out_of_time(runs)) {
        counts.cut_off = true;
        workers.stop();
      }
      workers.share(stack_, &Graph<W>::saved_bytes);
    }
  }

  void completed(Counts& counts, Workers& workers) {
    ++counts.executions;
    if (options_.load_buffering_lint) note_load_buffering();
    counts.race = counts.race || runner_->had_plain_race();
    const Graph<W>& graph = runner_->explorer.graph;
    if (observer_ != nullptr)
      observer_->complete(View<W>(graph, runner_->addresses()), runner_->had_plain_race());
    if (options_.duplicates && !seen_.insert(fingerprint(graph)).second) {
      repeated_ = fingerprint(graph);
      workers.stop();
    }
    if (options_.max_executions != 0 && counts.executions * options_.workers >= options_.max_executions) {
      counts.cut_off = !(stack_.count() == 0 && options_.workers == 1);
      workers.stop();
    }
  }

  /// Relaxed loads that a relaxed store to something else follows, with nothing between that keeps C++20 from
  /// letting the store be seen first.
  void note_load_buffering() {
    const Graph<W>& graph = runner_->explorer.graph;
    for (int store = 0; store < graph.size(); ++store) {
      if (!graph[store].writes() || graph[store].order != Order::relaxed || graph[store].kind == Kind::lock)
        continue;
      for (int e = graph[store].before; e >= 0 && graph[e].thread == graph[store].thread;
           e = graph[e].before) {
        if (graph[e].kind == Kind::fence || graph[e].kind == Kind::unlock) break;
        if (graph[e].access != Access::load || graph[e].kind != Kind::load ||
            graph[e].order != Order::relaxed || graph[e].location == graph[store].location) {
          continue;
        }
        load_buffering_.insert({runner_->where(e), runner_->where(store)});
      }
    }
  }

  void tell_load_buffering(Result& result) const {
    std::set<std::string> told;
    for (const auto& [load, store] : load_buffering_) {
      const std::vector<Where> places = resolve({load, store});
      told.insert("load buffering: the relaxed load at " + short_place(places[0]) +
                  " comes before the relaxed store at " + short_place(places[1]) +
                  ": C++20 lets other threads see the store first, RC11 does not");
    }
    result.notes.assign(told.begin(), told.end());
  }

  void tell_sites(Result& result) const {
    result.sites = sites_->all();
    if (sites_->lost() != 0) {
      result.notes.push_back(
          "sites: the operations of the test stand on more lines than are noted; some are missing");
    }
  }

  bool sample(Result& result) {
    result.coverage = Coverage::sampled;
    watchdog_.emplace(options_.max_run_seconds);
    int expected_events = 32;
    for (std::uint64_t run = 0; run < options_.samples && !out_of_time(run); ++run) {
      Sampler sampler(options_, run, expected_events);
      const Ending ending = steered(sampler);
      expected_events = std::max(expected_events, runner_->explorer.graph.size());
      if (!counted(ending, result)) return ending != Ending::too_long;
      if (options_.max_executions != 0 && result.executions >= options_.max_executions) break;
    }
    return true;
  }

  bool few_preemptions(Result& result) {
    result.coverage = Coverage::bounded;
    watchdog_.emplace(options_.max_run_seconds);
    FewPreemptions search(options_.max_preemptions);
    std::uint64_t runs = 0;
    do {
      search.start_run();
      const Ending ending = steered(search);
      if (!counted(ending, result)) return ending != Ending::too_long;
      if (out_of_time(runs++) ||
          (options_.max_executions != 0 && result.executions >= options_.max_executions))
        break;
    } while (search.advance());
    return true;
  }

  Ending steered(Steering& steering) {
    runner_->explorer.graph.clear();
    runner_->steer(&steering);
    const Ending ending = runner_->run();
    runner_->steer(nullptr);
    return ending;
  }

  /// False when it was the last run: one that failed is reported.
  bool counted(Ending ending, Result& result) {
    switch (ending) {
      case Ending::complete: ++result.executions; return true;
      case Ending::blocked: ++result.blocked; return true;
      case Ending::bounded: ++result.bounded; return true;
      case Ending::too_long: return false;
      case Ending::failed: break;
    }
    report(failing_script(), result);
    return false;
  }

  bool run_script(const std::string& text, Result& result) {
    const Script script = parse_script(text);
    const Ending ending = perform(script, true);
    result.coverage = Coverage::bounded;
    if (ending != Ending::too_long && !followed_) {
      result.verdict = Verdict::nondeterministic;
      result.message =
          "the replay string is not of this test: the test has changed since, does not do the same each "
          "time, or the string is another test's";
      result.report = "interleave: " + std::string(name(result.verdict)) + "\n  " + result.message + "\n";
    } else if (ending == Ending::failed) {
      fill(result, script);
    } else if (ending != Ending::too_long) {
      counted(ending, result);
    }
    return ending != Ending::too_long;
  }

  Ending perform(const Script& script, bool trace) {
    Guide guide(script);
    guide.follow(runner_->explorer.graph);
    runner_->trace(trace);
    const Ending ending = steered(guide);
    runner_->trace(false);
    followed_ = guide.followed();
    return ending;
  }

  /// Of the run that has just failed.
  Script failing_script() {
    const Graph<W>& graph = runner_->explorer.graph;
    failed_thread_ = runner_->failure().thread;
    verdict_ = runner_->failure().verdict;
    fallback_ = runner_->failure();
    return script_of(graph, graph.all());
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

  /// Runs an execution that has failed again, the shortest way that still fails, and reports that.
  void report(Script script, Result& result) {
    const auto size = [&](const Script& candidate) {
      if (fallback_.hung || perform(candidate, false) != Ending::failed) return -1;
      if (runner_->failure().hung) fallback_ = runner_->failure();
      if (verdict_ == Verdict::pass) verdict_ = runner_->failure().verdict;  // it failed in another process
      return runner_->failure().verdict == verdict_ ? runner_->explorer.graph.size() : -1;
    };
    if (fallback_.hung) {
      return tell_untraced(script, kNotAgain, result);
    }
    if (size(script) < 0) {
      script.last = failed_thread_;
    } else {
      Script last = script;  // with the thread that failed going on
      last.last = runner_->failure().thread;
      if (size(last) >= 0) script = last;
    }
    if (size(script) >= 0) {
      if (options_.shrink) script = shrunk(script, size);
      Ending ending = perform(script, true);
      if (ending == Ending::failed && !followed_) {  // it says more than is done: what was done, then
        script = script_of(runner_->explorer.graph, runner_->explorer.graph.all());
        script.last = runner_->failure().thread;
        ending = perform(script, true);
      }
      if (ending == Ending::failed) return fill(result, script);
    }
    if (fallback_.hung)
      return tell_untraced(script, kNotAgain, result);  // in another process first, then here
    tell_untraced({},
                  "run the same way again, the test did something else: it depends on what the checker does "
                  "not control",
                  result);
  }

  static constexpr const char* kNotAgain = "not run again for this report, as that would take as long";

  /// Of a failure that is known by its message and place only.
  void tell_untraced(const Script& script, const char* why, Result& result) {
    const std::vector<Where> places = resolve({fallback_.where, fallback_.other});
    result.verdict = fallback_.verdict == Verdict::pass ? Verdict::nondeterministic : fallback_.verdict;
    result.message = fallback_.message;
    result.where = places[0];
    result.other = places[1];
    result.report = std::string("interleave: ") + name(result.verdict) + "\n  " + fallback_.message + "\n";
    if (places[0].line != 0) result.report += "  at " + short_place(places[0]) + "\n";
    result.report += std::string("  (") + why + ")\n";
    if (script.steps.empty()) return;
    result.replay = to_string(script);
    result.report += "\nReplay: " + result.replay + "\n";
  }

  const Options& options_;
  Observer* observer_;
  Stack stack_;
  std::unique_ptr<Runner<W>> runner_;
  std::optional<Sites> sites_;
  Clock::time_point begin_;
  std::optional<Watchdog> watchdog_;  // not of a replay, which may be in a debugger
  std::set<std::string> seen_;
  std::string repeated_;
  struct ByLine {
    static auto key(const std::pair<Where, Where>& places) {
      return std::tuple(places.first.file, places.first.line, places.second.file, places.second.line);
    }
    bool operator()(const std::pair<Where, Where>& a, const std::pair<Where, Where>& b) const {
      return key(a) < key(b);
    }
  };
  std::set<std::pair<Where, Where>, ByLine> load_buffering_;
  int failed_thread_ = -1;
  bool followed_ = true;  // the latest script, to its end
  Verdict verdict_ = Verdict::pass;
  Failure fallback_;
};

template <int W>
bool explore_with(const Options& options, const std::function<void()>& body, Observer* observer,
                  const std::string& replay, Result& result, bool& race) {
  result = Result();
  race = false;
  return Exploration<W>(options, body, observer).run(replay, result, race);
}

}  // namespace interleave
