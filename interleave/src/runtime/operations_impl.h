// Atomics, fences and plain data.
#pragma once

#include "runtime/runner.h"
#include "runtime/symbols.h"

namespace interleave {

namespace detail {
// Cell::state, while Cell::run is the run's. Of an object made before the run it is not.
constexpr std::uint8_t kMade = 1;   // location is how many were made there before it
constexpr std::uint8_t kInUse = 2;  // location is known
constexpr std::uint8_t kDestroyed = 3;
constexpr std::uint8_t kNobody = 0xff;
}  // namespace detail

template <int W>
void Runner<W>::construct(const Cell& cell, Where where) {
  const Inside inside;
  const Addresses::Made made = addresses_.made(&cell, run_, where);
  cell.run = run_;
  cell.state = made.location >= 0 ? detail::kInUse : detail::kMade;
  cell.location = static_cast<std::uint16_t>(made.location >= 0 ? made.location : made.incarnation);
  cell.maker = static_cast<std::uint8_t>(current_);
  cell.made = self().count;
}

template <int W>
void Runner<W>::destroy(const Cell& cell, Where where) {
  if (cell.run != run_) {
    cell.run = run_;  // made before the run, and gone for the rest of it
    cell.state = detail::kDestroyed;
    return;
  }
  if (cell.state == detail::kInUse) {
    const auto& location = graph().at(cell.location);
    Mask unknown = ((location.reads | location.writes) & done_) - front().hb;
    if (forked_ != 0) {
      const Mask all = unknown;
      all.each([&](int e) {
        if (is_gone(graph()[e].thread)) unknown.clear(e);
      });
    }
    if (unknown.any()) {
      int user = 0;
      unknown.each([&](int e) { user = e; });
      const Inside inside;
      failure_.other_thread = graph()[user].thread;
      failure_.other_event = user;
      fail(Verdict::use_after_free,
           "destroyed while another thread may be using it: nothing makes that use happen before",
           wheres_[user], traced(where));
    }
    const Owner owner = owners_[cell.location];
    const bool locked = owner.run == run_ && owner.lock >= 0;
    // In the child of a fork those who are not there never unlock: it makes the mutex anew.
    if (locked && !is_gone(graph()[owner.lock].thread)) {
      const Inside inside;
      fail(Verdict::misuse,
           "a mutex is destroyed that thread " + std::to_string(graph()[owner.lock].thread) + " has locked",
           where, wheres_[owner.lock]);
    }
  }
  cell.state = detail::kDestroyed;
}

template <int W>
inline void Runner<W>::at(Where where, const char* doing) {
  if (in_condition_) [[unlikely]] {
    const Inside inside;
    fail(Verdict::misuse,
         std::string(doing) + " in the condition of an await, which must depend on the value alone", where,
         {});
  }
  if (sites_ != nullptr) [[unlikely]]
    sites_->note(where, current_);
  self().where = traced(where);
  self().doing = doing;
}

/// An order that the operation may have: the standard leaves others undefined.
template <int W>
inline void Runner<W>::need(bool fits, const char* what) {
  if (fits) [[likely]]
    return;
  const Inside inside;
  fail(Verdict::misuse, what, self().where, {});
}

namespace detail {
constexpr const char* kLoadOrder = "the order of a load is relaxed, consume, acquire or seq_cst";
constexpr const char* kStoreOrder = "the order of a store is relaxed, release or seq_cst";
constexpr const char* kFailureOrder =
    "the order of a failed compare-exchange is relaxed, consume, acquire or seq_cst";
}  // namespace detail

/// The operation's location, after checking that the object is there for this thread.
template <int W>
inline int Runner<W>::begin(const Cell& cell, Where where, const char* doing) {
  at(where, doing);
  return in_plain_view(cell) ? cell.location : look_up(cell, where, doing);
}

/// Whether nothing can be wrong with using the object. Most are made by the body before its first event,
/// which all threads know of, and not in the heap.
template <int W>
inline bool Runner<W>::in_plain_view(const Cell& cell) const noexcept {
  return cell.run == run_ && cell.state == detail::kInUse && cell.maker == 0 && cell.made == 0 &&
         !memory_.owns(&cell);
}

/// The event of the graph that this access of the thread's is, if there is nothing to do but to go on: what
/// most operations of most runs come to. Else kNone.
template <int W>
[[gnu::always_inline]] inline int Runner<W>::at_once(const Cell& cell, Kind kind,
                                                     Access access) const noexcept {
  if (!replaying() || observed_) return kNone;
  const int e = next_[current_];
  if (e == kNone) return kNone;
  const Event<W>& event = explorer.graph[e];
  const bool mine =
      event.kind == kind && event.access == access && !event.unplaced && event.location == cell.location;
  return mine && !in_turn_.has(e) && event.porf.within(done_) && in_plain_view(cell) ? e : kNone;
}

template <int W>
int Runner<W>::look_up(const Cell& cell, Where where, const char* doing) {
  if (memory_.owns(&cell)) {
    const Memory::Tag tag = memory_.tag(&cell);
    if (tag == Memory::Tag::freed || tag == Memory::Tag::freed_begin) {
      const Inside inside;
      fail(Verdict::use_after_free, std::string(doing) + " of an object in memory that was freed", where,
           memory_.find(&cell)->freed_at);
    }
  }
  if (cell.run != run_) {
    cell.run = run_;
    cell.state = detail::kMade;
    cell.location = 0;
    cell.maker = detail::kNobody;
  }
  if (cell.state == detail::kDestroyed) {
    const Inside inside;
    fail(Verdict::use_after_free, std::string(doing) + " of an object that was destroyed", where, {});
  }
  // What the body made before its first event is known to all threads.
  const bool elsewhere =
      cell.maker != current_ && cell.maker != detail::kNobody && (cell.maker != 0 || cell.made != 0);
  if (elsewhere && !knows({cell.maker, cell.made})) {
    const Inside inside;
    failure_.other_thread = cell.maker;
    fail(Verdict::race,
         std::string(doing) + " of an object whose construction by thread " + std::to_string(cell.maker) +
             " does not happen before it",
         where, {});
  }
  if (cell.state == detail::kMade) {
    const Inside inside;
    const int location = addresses_.location(&cell, cell.location);
    if (location < 0)
      fail(Verdict::limit, "the test uses more than 4096 shared objects in its runs", where, {});
    cell.location = static_cast<std::uint16_t>(location);
    cell.state = detail::kInUse;
  }
  return cell.location;
}

template <int W>
int Runner<W>::simple_event(Kind kind, Order order, int location) {
  int e = take(kind, Access::load, location);
  if (e == kNone) {
    make_room();
    e = explorer.add(kind, current_, front(), order);
    graph()[e].location = static_cast<std::uint16_t>(location);
  }
  did(e, 0);
  self().interrupt_spinning();
  return e;
}

/// Those who wait for a value of the location look at it again.
template <int W>
void Runner<W>::stored(int location) noexcept {
  for (int t = 0; t < thread_count_; ++t) {
    ThreadState<W>& thread = threads_[t];
    if (thread.state == State::waiting && thread.wait == Wait::value && thread.awaited == location)
      thread.look_again = true;
  }
}

template <int W>
void Runner<W>::store_event(int location, std::uint64_t value, Order order) {
  int e = take(Kind::store, Access::load, location);
  if (e == kNone) {
    make_room();
    e = explorer.add_store(current_, front(), location, value, order);
  } else if (graph()[e].value != value) {
    const Inside inside;
    fail(Verdict::nondeterministic,
         "the thread stores " + std::to_string(value) + " where it stored " +
             std::to_string(graph()[e].value) + " when it was run the same way before",
         self().where, {});
  }
  did(e, value);
  self().interrupt_spinning();
  stored(location);
}

/// Until the newest value ends the wait; or nobody else can go on and an older one does. While others can go
/// on, what they store may be what it waits for.
template <int W>
void Runner<W>::wait_for_value(const Read& read) {
  for (bool looked = false;; looked = true) {
    const Prospect prospect = explorer.prospect(front(), read);
    if (prospect == Prospect::newest || (prospect == Prospect::older && looked)) return;
    if (steering_ != nullptr && !steering_->waits(current_)) return;
    ThreadState<W>& thread = self();
    thread.state = State::waiting;
    thread.wait = Wait::value;
    thread.awaited = static_cast<std::int16_t>(read.location);
    thread.waits_by = read.access;
    thread.look_again = prospect == Prospect::older;
    dispatch();
    thread.state = State::ready;
    thread.look_again = false;
  }
}

/// Adds or replays a reading event; a thread that it blocks does not come back.
template <int W>
inline int Runner<W>::read_event(const Read& read) {
  int e = take(Kind::load, read.access, read.location);
  if (e != kNone) {
    if (graph()[e].unplaced) explorer.finish(e, read);
  } else {
    if (waits(read.access)) wait_for_value(read);
    make_room();
    e = read.access == Access::try_lock ? explorer.add_try_lock(current_, front(), read)
                                        : explorer.add_read(current_, front(), read);
  }
  did(e, explorer.value_read(e, read.initial));
  if (explorer.abandoned()) end(Ending::blocked);
  const Event<W>& event = graph()[e];
  if (event.blocked) stay_stuck();
  if (event.kind != Kind::load) {
    stored(read.location);
    self().interrupt_spinning();
  } else {
    note_load(e, self().where.line);
  }
  return e;
}

/// Notes a load; the next one is to ask whether it goes round for ever.
template <int W>
inline void Runner<W>::note_load(int e, unsigned line) noexcept {
  lines_[e] = line;
  suspicious = graph()[e].repeats;
}

/// spin.now becomes the thread's latest events, so many, which are loads.
template <int W>
void Runner<W>::look_back(int loads) noexcept {
  Spin& spin = self().spin;
  spin.now.count = loads;
  int e = self().latest;
  for (int i = loads; i-- > 0; e = graph()[e].before) {
    spin.now.loads[i] = {static_cast<std::int16_t>(e), graph()[e].location, graph()[e].source, lines_[e]};
  }
}

/// The thread is about to load, with its stack and registers as the hash says. If they are as they were a
/// round ago, and the loads since have all read the same again, it goes round for ever.
template <int W>
void Runner<W>::spins(std::uint64_t hash) {
  ThreadState<W>& thread = self();
  Spin& spin = thread.spin;
  look_back(std::min(thread.count - spin.loads_from, 2 * kLongestRound));
  const Spin::Load* end = spin.now.loads + spin.now.count;
  int period = 0;
  for (int p = 1; 2 * p <= spin.now.count && period == 0; ++p) {
    if (std::equal(end - p, end, end - 2 * p)) period = p;
  }
  if (period != spin.period) spin.snapshot = 0;
  spin.period = period;
  const int age = thread.count - spin.snapshot_at;
  if (period == 0 || (spin.snapshot != 0 && age < period)) return;
  if (spin.snapshot == hash && age == period) {
    look_back(period);  // at what it waits for
    wait_spinning();
    thread.interrupt_spinning();
    return;
  }
  spin.snapshot = hash;
  spin.snapshot_at = thread.count;
}

template <int W>
void Runner<W>::wait_spinning() {
  if (next_[current_] != kNone) return;
  if (steering_ == nullptr) stay_stuck();
  if (self().spin.now.count == 0) stay_stuck();  // it waits for nothing that can change
  if (!steering_->waits(current_)) return;
  // Runs that are chosen one by one go on when something has changed.
  const Spin& spin = self().spin;
  self().waits_by = Access::await_code;
  self().look_again = false;
  wait_for(Wait::value, graph()[spin.now.loads[spin.now.count - 1].event].location);
}

template <int W>
void Runner<W>::thread_yield(Where where) {
  at(where, "yield");
  Spin& spin = self().spin;
  const int loads = self().count - spin.yielded;
  const bool only_loads = spin.yielded != Spin::kNever && loads > 0 && loads <= Spin::kLoads;
  if (only_loads) {
    look_back(loads);
    const bool same = spin.now.count == spin.last.count && spin.last.line == where.line &&
                      std::equal(spin.now.loads, spin.now.loads + loads, spin.last.loads);
    if (same) wait_spinning();
    spin.last = spin.now;
  } else {
    spin.last.count = 0;
  }
  const bool idle = loads == 0 && spin.last.line == where.line && spin.idle_at == self().time;
  spin.idle = idle ? spin.idle + 1 : 0;
  if (spin.idle == Spin::kIdle) {
    spin.now.count = 0;
    wait_spinning();
  }
  spin.idle_at = self().time;
  spin.last.line = where.line;
  spin.yielded = self().count;
}

template <int W>
std::uint64_t Runner<W>::load(const Cell& cell, std::uint64_t initial, std::memory_order order, Where where) {
  const int e = at_once(cell, Kind::load, Access::load);
  if (e == kNone) [[unlikely]]
    return load_in_turn(cell, initial, order, where);
  did_at_once(e);
  note_load(e, where.line);
  return explorer.value_read(e, initial);
}

// Whoever has waited for others in here comes back through few returns: see Fiber::switch_to.
template <int W>
[[gnu::noinline]] std::uint64_t Runner<W>::load_in_turn(const Cell& cell, std::uint64_t initial,
                                                        std::memory_order order, Where where) {
  let_others_replay();
  const int e = at_once(cell, Kind::load, Access::load);
  if (e == kNone) return load_anew(cell, initial, order, where);
  did_at_once(e);
  note_load(e, where.line);
  return explorer.value_read(e, initial);
}

template <int W>
[[gnu::noinline]] std::uint64_t Runner<W>::load_anew(const Cell& cell, std::uint64_t initial,
                                                     std::memory_order order, Where where) {
  Read read;
  read.location = static_cast<std::uint16_t>(begin(cell, where, "load"));
  need(fits_load(order), detail::kLoadOrder);
  read.initial = initial;
  read.success = read.failure = to_order(order);
  return explorer.value_read(read_event(read), initial);
}

template <int W>
void Runner<W>::store(const Cell& cell, std::uint64_t, std::uint64_t value, std::memory_order order,
                      Where where) {
  const int e = at_once(cell, Kind::store, Access::load);
  if (e == kNone || graph()[e].value != value) [[unlikely]]
    return store_in_turn(cell, value, order, where);
  did_at_once(e).interrupt_spinning();
}

template <int W>
[[gnu::noinline]] void Runner<W>::store_in_turn(const Cell& cell, std::uint64_t value,
                                                std::memory_order order, Where where) {
  let_others_replay();
  const int e = at_once(cell, Kind::store, Access::load);
  if (e == kNone || graph()[e].value != value) return store_anew(cell, value, order, where);
  did_at_once(e).interrupt_spinning();
}

template <int W>
[[gnu::noinline]] void Runner<W>::store_anew(const Cell& cell, std::uint64_t value, std::memory_order order,
                                             Where where) {
  const int location = begin(cell, where, "store");
  need(fits_store(order), detail::kStoreOrder);
  store_event(location, value, to_order(order));
}

template <int W>
std::uint64_t Runner<W>::modify(const Cell& cell, std::uint64_t initial, detail::Modify how,
                                std::memory_order order, Where where) {
  const int e = at_once(cell, Kind::rmw, Access::modify);
  if (e != kNone) [[likely]] {
    did_at_once(e).interrupt_spinning();
    return explorer.value_read(e, initial);
  }
  return modify_anew(cell, initial, how, order, where);
}

template <int W>
[[gnu::noinline]] std::uint64_t Runner<W>::modify_anew(const Cell& cell, std::uint64_t initial,
                                                       detail::Modify how, std::memory_order order,
                                                       Where where) {
  Read read;
  read.location = static_cast<std::uint16_t>(begin(cell, where, "read-modify-write"));
  read.access = Access::modify;
  read.initial = initial;
  read.success = read.failure = to_order(order);
  read.how = how;
  return explorer.value_read(read_event(read), initial);
}

template <int W>
std::uint64_t Runner<W>::compare_exchange(const Cell& cell, std::uint64_t initial, std::uint64_t expected,
                                          std::uint64_t desired, std::memory_order success,
                                          std::memory_order failure, Where where) {
  Read read;
  read.location = static_cast<std::uint16_t>(begin(cell, where, "compare-exchange"));
  need(fits_load(failure), detail::kFailureOrder);
  read.access = Access::compare_exchange;
  read.initial = initial;
  read.success = to_order(success);
  read.failure = to_order(failure);
  read.argument = expected;
  read.how = {detail::Rmw::exchange, 8, desired};
  return explorer.value_read(read_event(read), initial);
}

template <int W>
void Runner<W>::fence(std::memory_order order, Where where) {
  if (order == std::memory_order_relaxed) return;
  at(where, "fence");
  simple_event(Kind::fence, to_order(order), 0);
}

/// Asked in the middle of other work: operations there are none. While it is observed they all come by at().
template <int W>
bool Runner<W>::ask(const void* condition, std::uint64_t value) {
  const Condition& asked = *static_cast<const Condition*>(condition);
  Runner& runner = *asked.runner;
  struct Flag {
    explicit Flag(bool& flag) : flag_(flag), before_(flag) { flag_ = true; }
    ~Flag() { flag_ = before_; }
    bool& flag_;
    const bool before_;
  };
  const Flag in_condition(runner.in_condition_), observed(runner.observed_);
  return asked.holds(asked.context, value);
}

template <int W>
std::uint64_t Runner<W>::await(const Cell& cell, std::uint64_t initial, detail::Want want,
                               std::uint64_t operand, detail::Predicate predicate, const void* context,
                               std::memory_order order, Where where) {
  Read read;
  read.location = static_cast<std::uint16_t>(begin(cell, where, "await"));
  need(fits_load(order), detail::kLoadOrder);
  read.access = want == detail::Want::equal       ? Access::await_equal
                : want == detail::Want::not_equal ? Access::await_different
                                                  : Access::await_code;
  read.initial = initial;
  read.success = read.failure = to_order(order);
  read.argument = operand;
  const Condition condition{this, predicate, context};
  read.holds = &ask;
  read.context = &condition;
  return explorer.value_read(read_event(read), initial);
}

template <int W>
void Runner<W>::atomic_wait(const Cell& cell, std::uint64_t initial, std::uint64_t old,
                            std::memory_order order, Where where) {
  Read read;
  read.location = static_cast<std::uint16_t>(begin(cell, where, "wait"));
  need(fits_load(order), detail::kLoadOrder);
  read.access = Access::atomic_wait;
  read.initial = initial;
  read.success = read.failure = to_order(order);
  read.argument = old;
  initials_[read.location] = initial;
  atomic_waits_ = true;
  read_event(read);
}

template <int W>
void Runner<W>::atomic_notify(const Cell& cell, bool all, Where where) {
  const int e =
      simple_event(Kind::notify, Order::relaxed, begin(cell, where, all ? "notify_all" : "notify_one"));
  graph()[e].value = all ? 1 : 0;
}

template <int W>
std::uint64_t Runner<W>::plain_load(const Cell& cell, Where where) {
  Read read;
  read.location = static_cast<std::uint16_t>(begin(cell, where, "plain load"));
  read.success = read.failure = Order::plain;
  plain_events_ = true;
  return explorer.value_read(read_event(read), 0);
}

template <int W>
void Runner<W>::plain_store(const Cell& cell, std::uint64_t value, Where where) {
  plain_events_ = true;
  store_event(begin(cell, where, "plain store"), value, Order::plain);
}

template <int W>
void Runner<W>::plain_access(const void* address, std::size_t bytes, bool write, Where where) {
  ThreadState<W>& thread = self();
  where = traced(where);
  if (memory_.owns(address)) {
    const Memory::Tag tag = memory_.tag(address);
    if (tag == Memory::Tag::freed || tag == Memory::Tag::freed_begin) {
      const Inside inside;
      failure_.plain = true;
      fail(Verdict::use_after_free, std::string(write ? "write to" : "read of") + " memory that was freed",
           where, {});
    }
  }
  const auto begin_address = reinterpret_cast<std::uintptr_t>(address);
  const std::uintptr_t end_address = begin_address + bytes;
  for (std::uintptr_t at = begin_address; at < end_address;) {
    const std::uintptr_t granule = at / 8;
    const std::uintptr_t stop = std::min(end_address, (granule + 1) * 8);
    const unsigned mask = ((1U << (stop - at)) - 1) << (at % 8);
    const PlainAccess access{granule,
                             {static_cast<std::uint8_t>(current_), thread.count},
                             static_cast<std::uint8_t>(mask),
                             write,
                             where};
    const Inside inside;
    if (const PlainAccess* other = races_.access(access, *this)) {
      failure_.plain = true;
      failure_.other_thread = other->moment.thread;
      thread.where = where;
      fail(Verdict::race,
           std::string("data race: thread ") + std::to_string(current_) + (write ? " writes" : " reads") +
               " what thread " + std::to_string(other->moment.thread) +
               (other->write ? " writes" : " reads") + ", and nothing makes one happen before the other",
           where, other->where);
    }
    at = stop;
  }
}

}  // namespace interleave
