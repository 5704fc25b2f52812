// How a run goes: whose turn it is, replaying what the graph has, and going on from there.
#pragma once

#include <bit>
#include <cstdio>
#include <exception>

#include "runtime/runner.h"

namespace interleave {

namespace detail {
/// Of all checks and engines: what objects say of themselves must not fit a later run.
inline std::uint32_t runs = 0;
}  // namespace detail

template <int W>
Runner<W>::Runner(const Options& options, const std::function<void()>& body, Stack& stack)
    : explorer(options.model, stack), options_(options), body_(body) {
  for (int t = 0; t < kMaxThreads; ++t) fibers_[t].take_stack(t);
}

template <int W>
Runner<W>::~Runner() = default;

template <int W>
Ending Runner<W>::run() {
  if (++detail::runs == 0) ++detail::runs;  // 0 is of objects that no run has used
  run_ = detail::runs;
  run_as(0);
  std::fill(closures_used_, closures_used_ + thread_count_, 0);
  plan_replay();
  done_ = Mask();
  forked_ = 0;
  plain_events_ = plain_race_ = atomic_waits_ = freed_earlier_ = in_condition_ = false;
  observed_ = steering_ != nullptr || tracing_;
  failure_ = Failure();
  if (tracing_ && !options_.load_buffering_lint) forget_remembered();
  explorer.start_run();
  for (auto& hooks : fork_hooks_) hooks.clear();
  races_.start_run();
  memory_.start_run();
  for (int t = 0; t < thread_count_; ++t) threads_[t].state = State::unused;
  thread_count_ = 1;
  threads_[0].start();
  fibers_[0].prepare(&entry);
  running_machine = this;
  host_.switch_to(fibers_[0]);
  running_machine = nullptr;
  return ending_ == Ending::complete ? judge() : ending_;
}

template <int W>
void Runner<W>::entry() {
  Fiber::entered();
  static_cast<Runner*>(running_machine)->thread_main();
}

template <int W>
void Runner<W>::thread_main() {
  try {
    if (current_ == 0) {
      body_();
    } else {
      const ThreadState<W>& thread = self();
      thread.run(thread.closure);
    }
    run_slot_hooks();
  } catch (const std::exception& error) {
    const Inside inside;
    fail(Verdict::exception, std::string("an exception left the thread's function: ") + error.what(),
         self().where, {});
  } catch (...) {
    const Inside inside;
    fail(Verdict::exception, "an exception left the thread's function", thrown_, {});
  }
  finish_thread();
}

template <int W>
void Runner<W>::run_slot_hooks() {
  constexpr int kRounds = 4;  // as POSIX has it
  for (int round = 0; round < kRounds && self().slot_count > 0; ++round) {
    // The slots set so far, the latest first; what the hooks set is for the next round.
    Slot slots[ThreadState<W>::kSlots];
    const int count = self().slot_count;
    std::copy(self().slots, self().slots + count, slots);
    for (int i = count; i-- > 0;) {
      ThreadState<W>& thread = self();
      for (int j = 0; j < thread.slot_count; ++j) {
        if (thread.slots[j].key != slots[i].key) continue;
        slots[i].value = thread.slots[j].value;
        std::copy(thread.slots + j + 1, thread.slots + thread.slot_count, thread.slots + j);
        --thread.slot_count;
        if (slots[i].hook != nullptr) slots[i].hook(slots[i].value);
        break;
      }
    }
  }
}

template <int W>
void Runner<W>::finish_thread() {
  let_others_replay();
  if (current_ != 0) self().exit = static_cast<std::int16_t>(simple_event(Kind::exit, Order::relaxed, 0));
  self().state = State::finished;
  dispatch();
  __builtin_unreachable();
}

template <int W>
void Runner<W>::end(Ending ending) {
  ending_ = ending;
  fibers_[current_].switch_to(host_);
  __builtin_unreachable();
}

template <int W>
void Runner<W>::fail(Verdict verdict, const std::string& message, Where where, Where other) {
  running_machine = nullptr;  // the host's from here on
  failure_.verdict = verdict;
  failure_.message = message;
  failure_.where = traced(where);
  failure_.other = other;
  failure_.thread = current_;
  end(Ending::failed);
}

template <int W>
std::uint64_t Runner<W>::progress() const noexcept {
  // What the explorer puts aside is a sign of life, too: of one operation there may be hundreds of long
  // graphs.
  std::uint64_t done = explorer.put_aside();
  for (int t = 0; t < thread_count_; ++t) done += threads_[t].count;
  return std::uint64_t{run_} << 32 | done;
}

template <int W>
void Runner<W>::hang() {
  const Inside inside;
  char seconds[32];
  std::snprintf(seconds, sizeof(seconds), "%g", options_.max_run_seconds);
  failure_.hung = true;
  fail(Verdict::limit,
       "thread " + std::to_string(current_) + " did nothing that interleave knows of for " + seconds +
           " s (Options::max_run_seconds): it is in a loop without interleave's operations, or waits for "
           "something that is not interleave's",
       remember_caller(), {});
}

template <int W>
void Runner<W>::abandon(Where where) {
  self().where = where;
  end(Ending::blocked);
}

template <int W>
bool Runner<W>::is_next(const Event<W>& event, Kind kind, Access access, int location) const noexcept {
  const bool same_kind = event.kind == kind || (event.reads() && kind == Kind::load);
  return same_kind && (!event.reads() || event.access == access) &&
         (event.location == location || kind == Kind::create || kind == Kind::exit);
}

template <int W>
void Runner<W>::plan_replay() noexcept {
  step_ = 0;
  to_replay_ = graph().steps();
  in_turn_ = Mask();
  next_[0] = to_replay_ == 0 ? kNone : 0;  // the others' when they are made
  if (graph().forks()) {
    for (int e = 0; e < graph().size(); ++e) {
      if (graph()[e].kind == Kind::fork) in_turn_.set(e);  // the child has memory as it is then
    }
  }
  // What is new goes on from the last. Which of the blocks freed is used again is said by when they were.
  if (to_replay_ != 0) in_turn_.set(graph().step(to_replay_ - 1));
  if (options_.address_reuse) in_turn_ = graph().all();
}

template <int W>
int Runner<W>::first_not_replayed() noexcept {
  while (done_.has(graph().step(step_))) ++step_;
  return graph().step(step_);
}

/// Whether everything has been replayed that event e of the graph depends on.
template <int W>
inline bool Runner<W>::may_replay(int e) noexcept {
  if (in_turn_.has(e)) [[unlikely]]
    return first_not_replayed() == e;
  return graph()[e].porf.within(done_);
}

/// Until the thread's next operation need not come after those of others.
template <int W>
[[gnu::always_inline]] inline void Runner<W>::let_others_replay() {
  while (replaying()) {
    const int e = next_[current_];
    if (e != kNone && may_replay(e)) return;
    switch_to(graph()[first_not_replayed()].thread);
  }
}

/// The event that the graph has next of this thread, which must be of this kind; kNone when the graph has
/// been replayed. Other threads go first if it depends on what they do.
template <int W>
int Runner<W>::take(Kind kind, Access access, int location) {
  let_others_replay();
  if (replaying()) {
    const int e = next_[current_];
    replayed(e);
    if (is_next(graph()[e], kind, access, location)) return e;
    const Inside inside;
    fail(Verdict::nondeterministic,
         "the thread did something else than when it was run the same way before: the test depends on "
         "something that the checker does not control",
         self().where, wheres_[e]);
  }
  let_others();
  return kNone;
}

template <int W>
void Runner<W>::make_room() {
  // First: the largest engine has room for just as many as a test may ever have.
  if (graph().size() >= static_cast<int>(options_.max_events)) end(Ending::bounded);
  if (graph().full()) end(Ending::too_long);
}

template <int W>
inline void Runner<W>::did(int e, std::uint64_t value) {
  self().did(e);
  done_.set(e);
  if (observed_) [[unlikely]]
    tell_observers(e, value);
}

template <int W>
void Runner<W>::tell_observers(int e, std::uint64_t value) {
  values_[e] = value;
  wheres_[e] = self().where;
  doings_[e] = self().doing;
  if (steering_ != nullptr) steering_->added(e);
}

template <int W>
void Runner<W>::catch_up(ThreadState<W>& thread) noexcept {
  thread.behind = false;
  if (thread.latest == kNone) {
    thread.front = Frontier<W>();
  } else {
    graph().advance(thread.front, thread.latest);
    if (thread.count == 0) {  // it was made there
      thread.front.pending = Mask();
      thread.front.release_fence = kNone;
      thread.front.count = 0;
    }
  }
  thread.front.joined = thread.joins;
  for (std::uint32_t rest = thread.joins; rest != 0; rest &= rest - 1) {
    const int exit = threads_[std::countr_zero(rest)].exit;
    thread.front.hb |= graph()[exit].hb;
    thread.front.hb.set(exit);
    thread.front.porf |= graph()[exit].porf;
    thread.front.porf.set(exit);
  }
}

template <int W>
[[gnu::noinline]] void Runner<W>::did_less(int thread) {
  const Inside inside;
  fail(Verdict::nondeterministic,
       "thread " + std::to_string(thread) + " did less than when it was run the same way before",
       threads_[thread].where, {});
}

template <int W>
[[gnu::always_inline]] inline void Runner<W>::switch_to(int thread) {
  const State state = threads_[thread].state;
  if (state == State::unused || state == State::finished || state == State::stuck) [[unlikely]]
    did_less(thread);
  const int from = current_;
  run_as(thread);
  fibers_[from].switch_to(fibers_[thread]);
}

template <int W>
bool Runner<W>::satisfied(const ThreadState<W>& thread) noexcept {
  switch (thread.wait) {
    case Wait::exit: return threads_[thread.awaited].exit != kNone;
    case Wait::unlock: {
      const int unlock = graph()[thread.awaited].partner;
      return unlock >= 0 && done_.has(unlock);
    }
    case Wait::value:
    case Wait::others: return thread.look_again;
  }
  return false;
}

/// Without looking at a value, or at what the others do.
template <int W>
bool Runner<W>::can_go_on(const ThreadState<W>& thread) noexcept {
  if (thread.state == State::ready) return true;
  return thread.state == State::waiting && (thread.wait == Wait::exit || thread.wait == Wait::unlock) &&
         satisfied(thread);
}

template <int W>
std::uint32_t Runner<W>::ready_threads() noexcept {
  std::uint32_t ready = 0, looking = 0, last = 0;
  for (int t = 0; t < thread_count_; ++t) {
    const ThreadState<W>& thread = threads_[t];
    if ((forked_ >> t & 1) != 0) continue;
    if (thread.state == State::waiting && thread.wait == Wait::others) {
      last |= std::uint32_t{1} << t;
    } else if (can_go_on(thread)) {
      ready |= std::uint32_t{1} << t;
    } else if (thread.state == State::waiting && thread.wait == Wait::value && satisfied(thread)) {
      looking |= std::uint32_t{1} << t;
    }
  }
  // Whoever waits for a value looks when nobody else can do anything: it then sees all that was stored.
  if (ready != 0 || looking != 0) return ready != 0 ? ready : looking;
  for (int t = 0; t < thread_count_; ++t) {
    if ((last >> t & 1) != 0) threads_[t].look_again = true;
  }
  return last;
}

/// Which thread goes on while this one waits; if there is none that can, the run is over.
template <int W>
int Runner<W>::next_thread() {
  if (replaying()) {
    const int next = graph()[first_not_replayed()].thread;
    if (next == current_) {
      const Inside inside;
      fail(Verdict::nondeterministic, "the thread waits where it went on when it was run the same way before",
           self().where, {});
    }
    return next;
  }
  // The body last: as a rule it waits for one of the others after the other.
  for (int t = 1; t < thread_count_ && steering_ == nullptr; ++t) {
    if (can_go_on(threads_[t]) && (forked_ >> t & 1) == 0) return t;
  }
  if (steering_ == nullptr && can_go_on(threads_[0]) && (forked_ & 1) == 0) return 0;
  const std::uint32_t ready = ready_threads();
  if (ready == 0) end(Ending::complete);
  return steering_ != nullptr ? steering_->next_thread(ready, current_) : std::countr_zero(ready);
}

template <int W>
[[gnu::always_inline]] inline void Runner<W>::dispatch() {
  const int next = next_thread();
  if (next != current_) switch_to(next);
}

template <int W>
void Runner<W>::steer_away() {
  const std::uint32_t ready = ready_threads();
  const int next = steering_->next_thread(ready, current_);
  if (next != current_) switch_to(next);
}

template <int W>
[[gnu::always_inline]] inline void Runner<W>::wait_for(Wait wait, int what) {
  ThreadState<W>& thread = self();
  thread.wait = wait;
  thread.awaited = static_cast<std::int16_t>(what);
  while (!satisfied(thread)) {
    thread.state = State::waiting;
    dispatch();
  }
  thread.state = State::ready;
  thread.look_again = false;
}

template <int W>
void Runner<W>::stay_stuck() {
  self().state = State::stuck;
  dispatch();
  __builtin_unreachable();
}

}  // namespace interleave
