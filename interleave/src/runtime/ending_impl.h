// What a run that is over says: whether all is well, and why nobody can go on.
#pragma once

#include "runtime/runner.h"
#include "runtime/symbols.h"

namespace interleave {

template <int W>
Ending Runner<W>::failed(Verdict verdict, std::string message, int thread) {
  failure_.verdict = verdict;
  failure_.message = std::move(message);
  failure_.thread = thread;
  if (failure_.where.line == 0) failure_.where = threads_[thread].where;
  return Ending::failed;
}

template <int W>
Ending Runner<W>::judge() {
  if (freed_earlier_) {
    return failed(Verdict::nondeterministic,
                  "memory that an earlier run allocated is freed: something that outlives runs keeps it, a "
                  "global of the "
                  "test's or of a library's",
                  0);
  }
  for (int t = 0; t < thread_count_; ++t) {
    const State state = threads_[t].state;
    if (state != State::finished && state != State::unused && (forked_ >> t & 1) == 0) return judge_stuck();
  }
  return judge_complete();
}

template <int W>
std::string Runner<W>::describe_stuck(int t) {
  const ThreadState<W>& thread = threads_[t];
  std::string text = "thread " + std::to_string(t) + " ";
  if (thread.state == State::waiting && thread.wait == Wait::exit) {
    return text + "waits for the end of thread " + std::to_string(thread.awaited);
  }
  if (thread.state == State::waiting && thread.wait == Wait::unlock) {
    return text + "waits for the mutex that thread " + std::to_string(graph()[thread.awaited].thread) +
           " has locked";
  }
  if (thread.state == State::stuck && thread.spin.idle == Spin::kIdle) {
    return text + "yields in a loop that reads nothing that another thread can store";
  }
  return text + "waits in " + thread.doing;
}

template <int W>
Ending Runner<W>::judge_stuck() {
  bool spins = false, sleeps = false, notified_early = false;
  int first = -1;
  std::string who;
  for (int t = 0; t < thread_count_; ++t) {
    const ThreadState<W>& thread = threads_[t];
    if ((thread.state != State::waiting && thread.state != State::stuck) || (forked_ >> t & 1) != 0) continue;
    if (thread.state == State::waiting && thread.wait == Wait::unlock && thread.soft) return Ending::blocked;
    Access access = thread.waits_by;
    int location = thread.awaited;
    if (thread.state == State::stuck) {
      const int e = thread.latest;
      access = e == kNone ? Access::load : graph()[e].access;
      location = e == kNone ? 0 : graph()[e].location;
      if (e == kNone || !graph()[e].blocked) {  // a loop that goes round in vain: does it see the newest?
        const Spin& spin = thread.spin;
        for (int i = 0; i < spin.now.count; ++i) {
          const Event<W>& load = graph()[spin.now.loads[i].event];
          if (graph().place(load.source) != graph().at(load.location).count - 1) return Ending::blocked;
        }
        access = Access::await_code;
      } else if (explorer.would_go_on(e)) {
        return Ending::blocked;
      }
    } else if (thread.wait != Wait::value) {
      access = Access::load;
    }
    if (access == Access::await_equal || access == Access::await_different || access == Access::await_code)
      spins = true;
    if (access == Access::wake || access == Access::atomic_wait) sleeps = true;
    if (access == Access::wake) {
      for (int e = 0; e < graph().size(); ++e) {
        const bool notify =
            graph()[e].access == Access::notify_one || graph()[e].access == Access::notify_all;
        if (notify && graph()[e].reads() && graph()[e].location == location) notified_early = true;
      }
    }
    if (first < 0 || (thread.state == State::stuck || thread.wait != Wait::exit)) {
      if (first < 0 || (threads_[first].state == State::waiting && threads_[first].wait == Wait::exit))
        first = t;
    }
    who += (who.empty() ? "" : "; ") + describe_stuck(t);
  }
  if (sleeps && notified_early) {
    return failed(
        Verdict::lost_wakeup,
        "lost wake-up: nobody can go on, and a notification came when the thread did not wait for it: " + who,
        first);
  }
  if (spins)
    return failed(Verdict::livelock,
                  "livelock: a loop waits for a value that nobody is going to store: " + who, first);
  return failed(Verdict::deadlock, "deadlock: nobody can go on: " + who, first);
}

template <int W>
Ending Runner<W>::judge_complete() {
  if (plain_events_) plain_race_ = plain_events_race();
  if (atomic_waits_ && notification_missing()) return Ending::failed;
  if (options_.leaks && forked_ == 0 && memory_.live() != 0) {
    const Memory::Block* block = memory_.any_live();
    failure_.where = block->allocated_at;
    return failed(Verdict::leak,
                  "leak: " + std::to_string(memory_.live()) +
                      " allocations are not freed at the end, one of " + std::to_string(block->bytes) +
                      " bytes by thread " + std::to_string(block->maker),
                  block->maker);
  }
  return Ending::complete;
}

/// Plain accesses that are events (litmus): two that conflict, neither before the other.
template <int W>
bool Runner<W>::plain_events_race() {
  for (int e = 0; e < graph().size(); ++e) {
    const Event<W>& event = graph()[e];
    if (event.order != Order::plain || !(event.reads() || event.writes())) continue;
    const auto& location = graph().at(event.location);
    const Mask conflicting = (event.writes() ? location.reads | location.writes : location.writes) - event.hb;
    const bool races = conflicting.some([&](int f) { return f != e && !graph()[f].hb.has(e); });
    if (races) return true;
  }
  return false;
}

/// The place in modification order of the value that a wait could have gone to sleep on; -2: none.
template <int W>
int Runner<W>::slept_from(int e) {
  const Event<W>& wait = graph()[e];
  const auto& location = graph().at(wait.location);
  const int floor = graph().floor(wait.location, graph().base(e).hb);
  for (int place = floor; place < graph().place(wait.source); ++place) {
    const std::uint64_t value = place < 0 ? initials_[wait.location] : graph()[location.order[place]].value;
    if (value == wait.argument) return place;
  }
  return -2;
}

/// Waits that ended because they saw the new value at once would have slept for ever had they come a little
/// earlier, if nobody notifies after the store.
template <int W>
bool Runner<W>::notification_missing() {
  for (int e = 0; e < graph().size(); ++e) {
    const Event<W>& wait = graph()[e];
    if (wait.access != Access::atomic_wait || !wait.reads()) continue;
    const int place = slept_from(e);
    if (place == -2) continue;
    const auto& location = graph().at(wait.location);
    int notifies = 0, waiters = 1;
    for (int f = 0; f < graph().size(); ++f) {
      const Event<W>& other = graph()[f];
      if (other.location != wait.location || f == e) continue;
      if (other.kind == Kind::notify) {
        const bool stored =
            (location.writes & other.hb).some([&](int w) { return graph().place(w) > place; });
        if (stored) notifies += other.value != 0 ? kMaxThreads : 1;
      } else if (other.access == Access::atomic_wait && other.reads() && !other.hb.has(e) &&
                 !wait.hb.has(f) && slept_from(f) != -2) {
        ++waiters;
      }
    }
    if (notifies >= waiters) continue;
    failure_.where = wheres_[e];
    failed(Verdict::lost_wakeup,
           notifies == 0 ? "lost wake-up: this wait sleeps for ever if it comes before the store, as no "
                           "notify follows the store"
                         : "lost wake-up: more threads wait for the store than are notified after it",
           wait.thread);
    return true;
  }
  return false;
}

}  // namespace interleave
