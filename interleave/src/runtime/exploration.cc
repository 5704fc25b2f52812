#include "runtime/exploration.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>
#include <stdexcept>

#include "runtime/blocking_impl.h"
#include "runtime/ending_impl.h"
#include "runtime/heap.h"
#include "runtime/heap_impl.h"
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
        const Failure& failure = runner_->failure();
        result.verdict = failure.verdict;
        result.message = failure.message;
        result.where = resolved(failure.where);
        result.other = resolved(failure.other);
        break;
      }
      if (options_.max_executions != 0 && result.executions >= options_.max_executions) break;
    }
    result.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    return fits;
  }

 private:
  const Options& options_;
  Observer* observer_;
  Stack stack_;
  std::unique_ptr<Runner<W>> runner_;
  std::set<std::string> seen_;
};

template <int W>
bool explore_with(const Options& options, const std::function<void()>& body, Observer* observer,
                  Result& result, bool& race) {
  result = Result();
  race = false;
  return Exploration<W>(options, body, observer).run(result, race);
}

}  // namespace

Result explore(const Options& options, const std::function<void()>& body, Observer* observer,
               bool* plain_race) {
  install_heap();
  Result result;
  bool race = false;
  if (!explore_with<1>(options, body, observer, result, race) &&
      !explore_with<2>(options, body, observer, result, race)) {
    explore_with<4>(options, body, observer, result, race);
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
