// From the run that failed to its story.
#pragma once

#include <map>

#include "report/story.h"
#include "runtime/guide.h"
#include "runtime/runner.h"
#include "runtime/symbols.h"

namespace interleave {

/// Thread safety: one thread.
template <int W>
class Teller {
 public:
  explicit Teller(Runner<W>& runner) : runner_(runner), graph_(runner.explorer.graph) {}

  Story story() {
    const Failure& failure = runner_.failure();
    std::vector<Where> places;
    for (int i = 0; i < graph_.steps(); ++i) {
      places.push_back(runner_.where(graph_.step(i)));
      if (graph_[graph_.step(i)].kind != Kind::exit) ++last_step_;
      step_of_[graph_.step(i)] = last_step_;
    }
    places.push_back(failure.where);
    places.push_back(failure.other);
    places = resolve(places);

    Story story;
    story.verdict = failure.verdict;
    story.message = failure.message;
    story.other = places.back();
    places.pop_back();
    story.where = places.back();
    places.pop_back();
    if (story.other.line == 0 && failure.other_event >= 0)
      story.other = place_of_event(places, failure.other_event);
    for (int i = 0; i < graph_.steps(); ++i) {
      const int e = graph_.step(i);
      story.threads = std::max(story.threads, graph_[e].thread + 1);
      if (graph_[e].kind == Kind::exit) continue;
      story.deeds.push_back(
          {step_of_[e], graph_[e].thread, deed(e), places[static_cast<std::size_t>(i)], false});
    }
    story.threads = std::max(story.threads, failure.thread + 1);
    for (int t = 0; t < kMaxThreads; ++t) {
      const ThreadState<W>& thread = runner_.thread(t);
      if (thread.state != State::waiting && thread.state != State::stuck) continue;
      if (failure.verdict != Verdict::deadlock && failure.verdict != Verdict::livelock &&
          failure.verdict != Verdict::lost_wakeup)
        continue;
      story.threads = std::max(story.threads, t + 1);
      story.deeds.push_back({last_step_ + 1, t, std::string("stays in ") + thread.doing, {}, true});
    }
    if (failure.verdict != Verdict::deadlock && failure.verdict != Verdict::livelock &&
        failure.verdict != Verdict::lost_wakeup && failure.verdict != Verdict::leak) {
      story.deeds.push_back({last_step_ + 1, failure.thread, name(failure.verdict), story.where, true});
    }
    for (const auto& [location, number] : numbers_) {
      const Where made = runner_.addresses().object(location).made;
      if (made.line != 0) story.objects.push_back(label(location) + ": made at " + short_place(made));
    }
    explain(story);
    return story;
  }

 private:
  Where place_of_event(const std::vector<Where>& places, int e) const {
    for (int i = 0; i < graph_.steps(); ++i) {
      if (graph_.step(i) == e) return places[static_cast<std::size_t>(i)];
    }
    return {};
  }

  static const char* order_name(Order order) {
    switch (order) {
      case Order::plain: return "plain";
      case Order::relaxed: return "rlx";
      case Order::acquire: return "acq";
      case Order::release: return "rel";
      case Order::acq_rel: return "ar";
      case Order::seq_cst: return "sc";
    }
    return "";
  }

  std::string label(int location) {
    const auto [found, added] = numbers_.try_emplace(location, static_cast<int>(numbers_.size()));
    return "a" + std::to_string(found->second);
  }
  /// Small negative numbers of 32 and 64 bits as what they are most likely to be.
  static std::string number(std::uint64_t value) {
    constexpr std::uint64_t kWord = std::uint64_t{1} << 32, kSmall = 4096;
    if (value > ~kSmall) return std::to_string(static_cast<std::int64_t>(value));
    if (value < kWord && value >= kWord - kSmall) return std::to_string(static_cast<std::int32_t>(value));
    if (value < kWord) return std::to_string(value);
    char hex[32];
    std::snprintf(hex, sizeof(hex), "0x%llx", static_cast<unsigned long long>(value));
    return hex;
  }

  std::string source(int e) {
    const int from = graph_[e].source;
    return from < 0 ? " <- initial" : " <- #" + std::to_string(step_of_[from]);
  }

  std::string deed(int e) {
    const Event<W>& event = graph_[e];
    const std::string what = runner_.doing(e);
    switch (event.kind) {
      case Kind::create: return "starts thread " + std::to_string(event.location);
      case Kind::exit: return "ends";
      case Kind::fence: return std::string("fence ") + order_name(event.order);
      case Kind::fork: return event.value == 0 ? "fork, goes on as the parent" : "fork, goes on as the child";
      case Kind::choice:
        return "chooses " + std::to_string(event.value) + " of " + std::to_string(event.choice);
      case Kind::notify:
      case Kind::unlock: return what + " " + label(event.location);
      case Kind::lock:
        return what + " " + label(event.location) +
               (event.source < 0 ? "" : " after the lock in #" + std::to_string(step_of_[event.source]));
      case Kind::store:
        return what + " " + label(event.location) + " = " + number(event.value) + " " +
               order_name(event.order);
      default: break;
    }
    std::string text = what + " " + label(event.location);
    if (event.access == Access::try_lock)
      return text + ": held since #" + std::to_string(step_of_[event.source]);
    const bool numeric = event.access == Access::load || event.access == Access::modify ||
                         event.access == Access::compare_exchange || event.access == Access::await_code ||
                         event.access == Access::atomic_wait;
    if (numeric && !is_sleep(what)) {
      text += " = " + number(runner_.read_value(e));
      if (event.writes()) text += " -> " + number(event.value);
      if (event.access == Access::compare_exchange && !event.writes()) text += " (not replaced)";
      text += std::string(" ") + order_name(event.order) + source(e);
      if (newer_than_source(e) >= 0) text += " (stale)";
    } else if (event.blocked) {
      text += ": has to wait";
    } else if (event.access == Access::wake || event.access == Access::wake_or_leave) {
      const bool woken = (runner_.read_value(e) & event.argument) != 0;
      text += woken ? ": woken" : ": goes on without being notified";
    } else if (event.access == Access::notify_one) {
      text += event.writes() ? ": wakes thread " + std::to_string(event.choice) : ": nobody waits";
    } else if (event.access == Access::notify_all) {
      text += event.writes() ? ": wakes all who wait" : ": nobody waits";
    } else if (is_sleep(what)) {
      text += ": begins to wait";
    }
    return text;
  }

  static bool is_sleep(const std::string& what) { return what == "wait"; }

  /// A write that happened before the step and is newer than what it read; -1 if there is none.
  int newer_than_source(int e) {
    const auto& location = graph_.at(graph_[e].location);
    if (graph_[e].writes()) return -1;
    for (int place = location.count - 1; place > graph_.place(graph_[e].source); --place) {
      if (step_of_[location.order[place]] < step_of_[e]) return location.order[place];
    }
    return -1;
  }

  void explain(Story& story) {
    const Failure& failure = runner_.failure();
    for (int i = 0; i < graph_.steps(); ++i) {
      const int e = graph_.step(i);
      if (!graph_[e].reads() || graph_[e].kind == Kind::lock || graph_[e].access == Access::try_lock)
        continue;
      const int newer = newer_than_source(e);
      if (newer < 0) continue;
      story.explanation.push_back("#" + std::to_string(step_of_[e]) +
                                  " may read the older value: nothing makes #" +
                                  std::to_string(step_of_[newer]) + " happen before it");
    }
    if (failure.other_thread >= 0 && failure.other_thread != failure.thread) {
      int last = -1;
      runner_.known_to(failure.thread).each([&](int e) {
        if (graph_[e].thread == failure.other_thread) last = e;
      });
      const std::string other =
          failure.other_thread == 0 ? "the body" : "thread " + std::to_string(failure.other_thread);
      story.explanation.push_back(
          "the missing edge: of " + other + ", thread " + std::to_string(failure.thread) + " knows " +
          (last < 0 ? "nothing" : "what happened up to #" + std::to_string(step_of_[last])) + "; " + other +
          "'s access comes after that. What orders them is a release by " + other +
          " after its access that thread " + std::to_string(failure.thread) +
          " acquires before its own: a store and a load of one atomic, an unlock and a lock, a join");
    }
  }

  Runner<W>& runner_;
  Graph<W>& graph_;
  std::map<int, int> step_of_;
  int last_step_ = 0;
  std::map<int, int> numbers_;
};

}  // namespace interleave
