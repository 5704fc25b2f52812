// Operations that wait for other threads: locks, condition variables, semaphores, once, threads.
#pragma once

#include <algorithm>
#include <limits>

#include "runtime/runner.h"

namespace interleave {

/// After a lock, or a try_lock that met an owner: until the owner before has unlocked. soft: in an execution
/// in which that never happens this event was not possible.
template <int W>
void Runner<W>::wait_for_owner(int e, bool soft) {
  const int owner = graph().awaited_owner(e);
  if (owner < 0) return;
  self().soft = soft;
  wait_for(Wait::unlock, owner);
  if (graph()[graph()[owner].partner].porf.has(e)) end(Ending::blocked);
  self().behind = true;  // it knows of the unlock, too
}

template <int W>
void Runner<W>::mutex_lock(const Cell& cell, Where where) {
  Read read;
  read.location = static_cast<std::uint16_t>(begin(cell, where, "lock"));
  read.access = Access::lock;
  read.success = Order::acquire;
  const int e = read_event(read);
  const int owner = graph()[e].source;
  if (owner >= 0 && graph()[owner].thread == current_ && graph()[owner].partner < 0) {
    const Inside inside;
    fail(Verdict::deadlock, "the thread locks a mutex that it has locked already", where, wheres_[owner]);
  }
  wait_for_owner(e, false);
  owners_[read.location] = {run_, static_cast<std::int16_t>(e)};
}

template <int W>
bool Runner<W>::mutex_try_lock(const Cell& cell, Where where) {
  Read read;
  read.location = static_cast<std::uint16_t>(begin(cell, where, "try_lock"));
  read.access = Access::try_lock;
  read.success = Order::acquire;
  const Owner owner = owners_[read.location];
  if (owner.run == run_ && owner.lock >= 0 && graph()[owner.lock].thread == current_) {
    const Inside inside;
    fail(Verdict::misuse, "the thread tries to lock a mutex that it has locked already", where,
         wheres_[owner.lock]);
  }
  const int e = read_event(read);
  const bool locked = graph()[e].kind == Kind::lock;
  wait_for_owner(e, true);
  if (locked) owners_[read.location] = {run_, static_cast<std::int16_t>(e)};
  return locked;
}

template <int W>
void Runner<W>::unlock_event(int location) {
  const Owner owner = owners_[location];
  if (owner.run != run_ || owner.lock < 0 || graph()[owner.lock].thread != current_) {
    const Inside inside;
    fail(Verdict::misuse, "the thread unlocks a mutex that it has not locked", self().where, {});
  }
  int e = take(Kind::unlock, Access::load, location);
  if (e == kNone) {
    make_room();
    e = explorer.add_unlock(current_, front(), owner.lock);
  }
  did(e, 0);
  owners_[location].lock = kNone;
  self().interrupt_spinning();
}

template <int W>
void Runner<W>::mutex_unlock(const Cell& cell, Where where) {
  unlock_event(begin(cell, where, "unlock"));
}

template <int W>
bool Runner<W>::condition_wait(const Cell& cell, const Cell& mutex, bool timed, Where where) {
  const std::uint64_t me = std::uint64_t{1} << current_;
  Read read;
  read.location = static_cast<std::uint16_t>(begin(cell, where, "wait"));
  read.access = Access::modify;
  read.how = {detail::Rmw::bit_or, 8, me};
  read_event(read);
  unlock_event(begin(mutex, where, "wait"));

  // Once for no reason, and not again before it has been notified: else a run could go on for ever.
  const bool spurious = options_.spurious_wakeups && !self().spurious;
  begin(cell, where, "wait");
  read.access = timed || spurious ? Access::wake_or_leave : Access::wake;
  read.argument = me << kWokenShift;
  const bool woken = (explorer.value_read(read_event(read), 0) & read.argument) != 0;
  self().spurious = !woken && !timed;
  mutex_lock(mutex, where);
  return woken || !timed;
}

template <int W>
void Runner<W>::condition_notify(const Cell& cell, bool all, Where where) {
  Read read;
  read.location = static_cast<std::uint16_t>(begin(cell, where, all ? "notify_all" : "notify_one"));
  read.access = all ? Access::notify_all : Access::notify_one;
  read_event(read);
}

template <int W>
void Runner<W>::semaphore_acquire(const Cell& cell, std::uint64_t initial, Where where) {
  Read read;
  read.location = static_cast<std::uint16_t>(begin(cell, where, "acquire"));
  read.access = Access::acquire;
  read.initial = initial;
  read.success = Order::acquire;
  read_event(read);
}

template <int W>
bool Runner<W>::semaphore_try_acquire(const Cell& cell, std::uint64_t initial, Where where) {
  Read read;
  read.location = static_cast<std::uint16_t>(begin(cell, where, "try_acquire"));
  read.access = Access::try_acquire;
  read.initial = initial;
  read.success = Order::acquire;
  return graph()[read_event(read)].kind == Kind::rmw;
}

template <int W>
void Runner<W>::semaphore_release(const Cell& cell, std::uint64_t initial, std::ptrdiff_t count,
                                  std::ptrdiff_t most, Where where) {
  if (count < 0) {
    const Inside inside;
    fail(Verdict::misuse, "release of " + std::to_string(count) + " by a semaphore: less than none", where,
         {});
  }
  Read read;
  read.location = static_cast<std::uint16_t>(begin(cell, where, "release"));
  read.access = Access::modify;
  read.initial = initial;
  read.success = Order::release;
  read.how = {detail::Rmw::add, 8, static_cast<std::uint64_t>(count)};
  const auto before = static_cast<std::ptrdiff_t>(explorer.value_read(read_event(read), initial));
  if (count > most - before) {
    const Inside inside;
    fail(Verdict::misuse,
         "release of " + std::to_string(count) + " by a semaphore that has " + std::to_string(before) +
             " and may have " + std::to_string(most) + " at most",
         where, {});
  }
}

template <int W>
bool Runner<W>::once_begin(const Cell& cell, Where where) {
  Read read;
  read.location = static_cast<std::uint16_t>(begin(cell, where, "call_once"));
  read.access = Access::once;
  read.success = read.failure = Order::acquire;
  return graph()[read_event(read)].kind == Kind::rmw;
}

template <int W>
void Runner<W>::once_end(const Cell& cell, bool done, Where where) {
  store_event(begin(cell, where, "call_once"), done ? 2 : 0, Order::release);
}

template <int W>
void* Runner<W>::closure_room(std::size_t bytes, std::size_t alignment, Where where) {
  if (allocation_fails(where)) return nullptr;
  std::size_t& used = closures_used_[current_];
  const std::size_t begin = (used + alignment - 1) / alignment * alignment;
  if (alignment > 64 || begin + bytes > kClosureBytes) {
    const Inside inside;
    fail(Verdict::limit, "what the threads that one thread starts capture takes more than 64 KiB", where, {});
  }
  used = begin + bytes;
  return closures_[current_].bytes + begin;
}

template <int W>
unsigned Runner<W>::thread_start(void (*function)(void*), void* closure, Where where) {
  if (may_fail(self().failing_threads, where)) return kNoThread;
  at(where, "start of a thread");
  int e = take(Kind::create, Access::load, 0);
  if (e == kNone) {
    make_room();
    std::uint32_t used = 1;
    for (int i = 0; i < graph().size(); ++i) {
      if (graph()[i].kind == Kind::create) used |= std::uint32_t{1} << graph()[i].location;
    }
    const int free = std::countr_one(used);
    if (free >= static_cast<int>(std::min<unsigned>(options_.max_threads, kMaxThreads))) {
      const Inside inside;
      fail(Verdict::limit,
           "the test starts more than " + std::to_string(options_.max_threads - 1) +
               " threads: raise Options::max_threads, at most 32",
           where, {});
    }
    e = explorer.add(Kind::create, current_, front(), Order::relaxed);
    graph()[e].location = static_cast<std::uint16_t>(free);
  }
  did(e, graph()[e].location);
  self().interrupt_spinning();
  const int child = graph()[e].location;
  ThreadState<W>& made = threads_[child];
  made.start();
  made.run = function;
  made.closure = closure;
  made.where = self().where;
  made.time = self().time;
  next_[child] = graph()[e].partner;
  made.latest = static_cast<std::int16_t>(e);
  made.behind = true;
  fibers_[child].prepare(&entry);
  thread_count_ = std::max(thread_count_, child + 1);
  return static_cast<unsigned>(child);
}

template <int W>
void Runner<W>::thread_join(unsigned thread, Where where) {
  at(where, "join");
  if (thread >= static_cast<unsigned>(thread_count_) || threads_[thread].joined ||
      static_cast<int>(thread) == current_) {
    const Inside inside;
    fail(Verdict::misuse, "join of a thread that is not joinable, or of itself", where, {});
  }
  wait_for(Wait::exit, static_cast<int>(thread));
  ThreadState<W>& other = threads_[thread];
  other.joined = true;
  ThreadState<W>& mine = self();
  mine.joins |= std::uint32_t{1} << thread;
  mine.behind = true;
  mine.time = std::max(mine.time, other.time);
  mine.interrupt_spinning();
}

template <int W>
void Runner<W>::thread_detach(unsigned thread, Where where) {
  self().where = where;
  if (thread >= static_cast<unsigned>(thread_count_) || threads_[thread].joined) {
    const Inside inside;
    fail(Verdict::misuse, "detach of a thread that is not joinable", where, {});
  }
  threads_[thread].joined = true;
}

template <int W>
void* Runner<W>::slot_get(const void* key) const {
  const ThreadState<W>& thread = threads_[current_];
  for (int i = 0; i < thread.slot_count; ++i) {
    if (thread.slots[i].key == key) return thread.slots[i].value;
  }
  return nullptr;
}

template <int W>
void Runner<W>::slot_set(const void* key, void* value, void (*hook)(void*), Where where) {
  ThreadState<W>& thread = self();
  thread.where = where;
  int at = 0;
  while (at < thread.slot_count && thread.slots[at].key != key) ++at;
  if (at < thread.slot_count) {  // set again: the latest
    std::copy(thread.slots + at + 1, thread.slots + thread.slot_count, thread.slots + at);
    --thread.slot_count;
  }
  if (value == nullptr) return;
  if (thread.slot_count == ThreadState<W>::kSlots) {
    const Inside inside;
    fail(Verdict::limit, "a thread sets more than 16 thread slots", where, {});
  }
  thread.slots[thread.slot_count++] = {key, value, hook};
}

template <int W>
std::int64_t Runner<W>::clock_now() {
  std::int64_t& time = self().time;
  if (options_.tick != 0) {
    const auto left = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max() - time);
    time += static_cast<std::int64_t>(std::min(options_.tick, left));
  }
  if (options_.max_time != 0 && static_cast<std::uint64_t>(time) > options_.max_time) end(Ending::bounded);
  return time;
}

template <int W>
void Runner<W>::clock_reached(std::int64_t when) {
  self().time = std::max(self().time, when);
}

template <int W>
unsigned Runner<W>::choose(unsigned count, Where where) {
  at(where, "choose");
  if (count == 0 || count > 64) {
    const Inside inside;
    fail(Verdict::misuse, "choose takes 1 to 64 alternatives", where, {});
  }
  int e = take(Kind::choice, Access::load, 0);
  if (e == kNone) {
    make_room();
    e = explorer.add_choice(current_, front(), static_cast<int>(count));
  }
  did(e, graph()[e].value);
  self().interrupt_spinning();
  return static_cast<unsigned>(graph()[e].value);
}

}  // namespace interleave
