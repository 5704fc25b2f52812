"""What is taken out of the checker, one at a time: each axiom, each rule of revisiting, each rule of blocking.

A mutant replaces one piece of text, which must occur exactly once in its file, so that the list can't fall behind
the code unnoticed. `harmless` argues why no test can fail, for the few where none does.
"""

from typing import NamedTuple


class Mutant(NamedTuple):
    name: str
    file: str  # under src/
    old: str
    new: str
    what: str
    harmless: str = ""


GRAPH = "engine/graph.h"
CONSISTENCY = "engine/consistency.h"
ADDING = "engine/explorer_impl.h"
REVISITING = "engine/revisit_impl.h"
BLOCKING = "runtime/blocking_impl.h"
OPERATIONS = "runtime/operations_impl.h"
ENDING = "runtime/ending_impl.h"
RUNNING = "runtime/runner_impl.h"
RACES = "runtime/races.cc"

AXIOMS = [
    Mutant("coherence-reads", ADDING,
           "const int floor = newest_only_ ? newest : graph.floor(read.location, from.hb);", "const int floor = kNone;",
           "a read may go back behind what happens before it"),
    Mutant("coherence-writes", ADDING, "const int floor = newest_only_ ? newest - 1 : graph.floor(location, from.hb);", "const int floor = kNone;",
           "a write may go before writes that happen before it"),
    Mutant("coherence-of-reads-seen", GRAPH, "if (source >= 0 && events_[source].place > place) place = events_[source].place;",
           "(void)source;", "what a thread has read, it need not have read later (CoRR, CoRW)"),
    Mutant("coherence-of-writes-seen", GRAPH, "if ((entry.writes & hb).any()) {", "if (false) {",
           "what a thread has written or acquired, it need not read (CoWR, CoWW)"),
    Mutant("atomicity-of-stores", ADDING, "if (graph.bound(location, place)) continue;\n    if (place != newest)",
           "if (place != newest)", "a store may come between a read-modify-write and its source"),
    Mutant("release-store", GRAPH, "if (releases(event.order)) {\n      event.sync = event.hb;\n      event.sync.set(e);",
           "if (false) {\n      event.sync = event.hb;\n      event.sync.set(e);", "a release store publishes nothing"),
    Mutant("release-fence", GRAPH, "} else if (event.release_fence >= 0) {", "} else if (false) {",
           "a store behind a release fence publishes nothing"),
    Mutant("release-sequence", GRAPH, "if (event.writes_too() && event.source >= 0) event.sync |= events_[event.source].sync;",
           "", "a read-modify-write ends the release sequence"),
    Mutant("release-sequence-through-stores", GRAPH,
           "if (event.writes_too() && event.source >= 0) event.sync |= events_[event.source].sync;",
           "if (event.writes_too() && event.source >= 0) event.sync |= events_[event.source].sync;\n"
           "    if (event.kind == Kind::store && event.before >= 0) event.sync |= events_[event.before].sync;",
           "C++11's release sequences: a thread's next store carries on what it released"),
    Mutant("acquire-load", GRAPH, "if (acquires(event.order)) event.hb |= write.sync;", "",
           "an acquire load learns nothing"),
    Mutant("acquire-fence", ADDING, "if (kind == Kind::fence && acquires(order)) graph[e].hb |= graph[e].pending;", "",
           "an acquire fence learns nothing of the loads before it"),
    Mutant("acquire-relaxed", GRAPH, "if (acquires(event.order)) event.hb |= write.sync;", "event.hb |= write.sync;",
           "every load acquires"),
    Mutant("release-relaxed", GRAPH, "if (releases(event.order)) {\n      event.sync", "if (true) {\n      event.sync",
           "every store releases"),
    Mutant("plain-loads-acquire", GRAPH, "if (event.order == Order::plain) return;\n    if (acquires", "if (acquires",
           "fences gather what plain loads found"),
    Mutant("plain-stores-release", GRAPH, "if (event.order == Order::plain || event.kind == Kind::lock) return;",
           "if (event.kind == Kind::lock) return;", "release fences publish by plain stores"),
    Mutant("psc", CONSISTENCY, "return acyclic(strong);", "return true;", "psc may have cycles"),
    Mutant("psc-program-order", CONSISTENCY, "scb = later_[e] | direct_[e];", "scb = direct_[e];",
           "scb without program order"),
    Mutant("psc-communication", CONSISTENCY, "scb = later_[e] | direct_[e];", "scb = later_[e];",
           "scb without modification order and reads-before"),
    Mutant("psc-same-location", CONSISTENCY, "scb |= after_[e] & (here.reads | here.writes);", "(void)here;",
           "scb without happens-before at one location"),
    Mutant("psc-detour", CONSISTENCY, "elsewhere_[e].each([&](int b) { scb |= detours_[b]; });",
           "(void)elsewhere;", "scb without program order; happens-before; program order"),
    Mutant("psc-detour-same-location", CONSISTENCY, "return later_[e] - (here.reads | here.writes);", "(void)here;\n    return later_[e];",
           "the same with accesses of one location"),
    Mutant("psc-fence-before", CONSISTENCY, "if (fences.has(e)) from |= after_[e];", "", "psc_base: a fence stands for nothing behind it"),
    Mutant("psc-fence-behind", CONSISTENCY, "set.each([&](int e) { found |= after_[e] & fences; });", "",
           "psc_base: a fence stands for nothing before it"),
    Mutant("psc-fences-happen-before", CONSISTENCY, "successors_[e] |= after_[e] & fences;\n    Mask communicated", "Mask communicated",
           "psc_F without happens-before",
           harmless="Two fences of one thread are related by scb. Of two threads, the last step of happens-before between "
                    "them is a start, an end or an unlock, which stands behind the first fence in program order, hence in "
                    "scb, and happens before the second one; or it synchronises: then the first fence happens before the "
                    "write, the read happens before the second fence, and psc_F has it by eco."),
    Mutant("psc-fences-communicate", CONSISTENCY, "successors_[e] |= behind & fences;", "", "psc_F without eco"),
    Mutant("psc-before-pushing-reads", ADDING, "if (place != newest && !taken && !consistent_with_write(graph, e)) continue;", "",
           "psc is not looked at when a read goes back"),
    Mutant("psc-before-pushing-writes", ADDING, "if (ok) push(graph);", "push(graph);", "psc is not looked at when a write goes back"),
    Mutant("psc-of-revisits", REVISITING, "if (!newest && !consistent_with_write(scratch_, r)) return;", "",
           "psc is not looked at when a read is revisited"),
    Mutant("sc-communication", CONSISTENCY, "successors_[e] = direct_[e];\n  for", "successors_[e] = Mask();\n  for",
           "SC without modification order and reads-before"),
    Mutant("sc-program-order", CONSISTENCY, "graph[e].porf.each([&](int before) { successors_[before].set(e); });\n  return",
           "(void)0;\n  return", "SC without program order and reads-from"),
]

REVISITS = [
    Mutant("revisit-by-stores", ADDING, "graph.publish(e);\n  revisit_from(e, kNone);", "graph.publish(e);", "stores revisit nothing"),
    Mutant("revisit-by-rmws", ADDING, "const int place = graph.place(event.source) + 1;\n  revisit_from(e, place);",
           "const int place = graph.place(event.source) + 1;", "read-modify-writes revisit nothing"),
    Mutant("revisit-in-place", ADDING, "write_value(e, read);\n        revisit_from(e, place + 1);\n      }\n      continue;",
           "}\n      continue;", "a read-modify-write whose source is taken does not push itself in front"),
    Mutant("revisit-maximal", REVISITING, "return !dropped.some([&](int e) { return !maximal(e, w, past); });", "return true;",
           "whatever a revisit drops"),
    Mutant("revisit-maximal-read", REVISITING, "return graph[r].source == e; }))\n    return false;", "return graph[r].source == e && r < 0; }))\n    return false;",
           "a write that is read may be dropped"),
    Mutant("revisit-maximal-newest", REVISITING, "if (previous.has(location.order[place])) return false;", "",
           "reads of older writes, and older writes, may be dropped"),
    Mutant("revisit-maximal-past", REVISITING, "Mask previous = past | Mask::below(e + 1);", "Mask previous = Mask::below(e + 1);",
           "what leads to the write does not count as known before"),
    Mutant("revisit-maximal-choice", REVISITING, "case Kind::choice: return event.value == 0;", "case Kind::choice: return true;",
           "any choice may be dropped"),
    Mutant("revisit-maximal-notified", REVISITING, "if (event.choice != std::countr_zero(woken)) return false;", "(void)woken;",
           "any choice of a waiter may be dropped"),
    Mutant("revisit-maximal-try-lock", REVISITING, "if (unlock >= 0 && previous.has(unlock)) return false;", "(void)unlock;",
           "a try_lock that failed although the owner had unlocked may be dropped"),
    Mutant("revisit-maximal-unlock", REVISITING,
           "graph[r].source == event.partner;\n      });", "graph[r].source == event.partner && r < 0;\n      });",
           "an unlock that let a try_lock succeed may be dropped"),
    Mutant("revisit-itself", REVISITING, "dropped.set(r);", "", "the revisited read need not have been added maximally"),
    Mutant("revisit-past", REVISITING, "Mask dropped = graph.all() - Mask::below(r + 1) - past;", "Mask dropped = graph.all() - Mask::below(r + 1);",
           "what leads to the write is dropped too"),
    Mutant("revisit-coherence-seen", REVISITING, "for (int at = scratch_.at(location).count; at > floor && at > seen; --at) {",
           "for (int at = scratch_.at(location).count; at > floor; --at) {", "a revisited read may go back behind what its thread has seen"),
    Mutant("revisit-coherence-write", REVISITING, "for (int at = scratch_.at(location).count; at > floor && at > seen; --at) {",
           "for (int at = scratch_.at(location).count; at > seen; --at) {", "a revisiting write may go before writes that happen before it"),
    Mutant("revisit-atomicity", REVISITING, "if (scratch_.bound(location, at)) continue;", "", "a revisiting store may come inside a read-modify-write"),
    Mutant("revisit-atomicity-rmw", REVISITING, "if (place <= seen || scratch_.bound(location, place)) return;", "if (place <= seen) return;",
           "a revisiting read-modify-write may come inside another"),
    Mutant("revisit-coherence-rmw", REVISITING, "if (place <= seen || scratch_.bound(location, place)) return;", "if (scratch_.bound(location, place)) return;",
           "a read revisited by a read-modify-write may go back behind what its thread has seen"),
    Mutant("revisit-rmw-place", REVISITING, "if (scratch_[r].writes()) scratch_.remove(location, scratch_[r].place);\n  const Frontier<W> from = scratch_.base(r);\n  const int seen",
           "const Frontier<W> from = scratch_.base(r);\n  const int seen", "a revisited read-modify-write keeps its old place"),
    Mutant("revisit-waiters", REVISITING, "for (std::uint64_t rest = scratch_[w].value & kWaiting; rest != 0; rest &= rest - 1) {",
           "for (std::uint64_t rest = scratch_[w].value & kWaiting; rest != 0; rest = 0) {", "a revisited notify_one wakes the first waiter only"),
    Mutant("revisit-by-unlock", ADDING, "if (graph[r].access == Access::try_lock) revisit_by_unlock(e, r);", "(void)r;",
           "a try_lock never comes after an unlock that is added later"),
    Mutant("revisit-by-unlock-coherence", REVISITING, "if (scratch_.floor(location, from.hb) > scratch_.place(owner)) return;", "",
           "such a try_lock may go back behind what its thread has seen",
           harmless="What the thread has seen of the mutex are locks, and try_locks that failed at one, each in its past with "
                    "an event behind it. A thread goes on behind a lock only when the owner before has unlocked, and behind a "
                    "failed try_lock when the owner before the one it met has; all depend on it, and so on every unlock further "
                    "back. Had it seen an owner newer than the one that now unlocks, the try_lock would depend on this unlock; "
                    "but it is there before it."),
    Mutant("try-lock-needs-unlock", ADDING, "event.porf |= in[unlock].porf;\n    event.porf.set(unlock);", "(void)unlock;",
           "a try_lock that succeeds does not depend on the unlock before it"),
]

WAITING = [
    Mutant("waiters-of-notify-one", ADDING, "choices = value & kWaiting;", "choices = (value & kWaiting) & -(value & kWaiting);",
           "notify_one wakes the first waiter"),
    Mutant("blocked-on-the-newest", ADDING, "if (place == newest) blocked = place;", "blocked = place;",
           "a wait may block on any value, not only the newest"),
    Mutant("never-blocked", ADDING, "if (blocked >= kNone) alternatives_[count++] = {static_cast<std::int16_t>(blocked), 0, false, true};",
           "if (blocked >= kNone && count == 0) alternatives_[count++] = {static_cast<std::int16_t>(blocked), 0, false, true};",
           "a wait that can end does not also block, so that no later store revisits it"),
    Mutant("blocked-by-code", ADDING, "event.blocked = !read.holds(read.context, value_read(e, read.initial));", "event.blocked = false;",
           "an await that is revisited ends whatever it reads"),
    Mutant("await-condition", "engine/event.h", "case Access::await_different: return value != argument ? Outcome::reads : Outcome::blocks;",
           "case Access::await_different: return Outcome::reads;", "atomic::wait ends with the old value"),
    Mutant("semaphore-zero", "engine/event.h", "case Access::acquire: return writes_if(value != 0, Outcome::blocks);",
           "case Access::acquire: return Outcome::writes;", "a semaphore falls below zero"),
    Mutant("try-acquire-zero", "engine/event.h", "case Access::try_acquire: return writes_if(value != 0, Outcome::reads);",
           "case Access::try_acquire: return Outcome::writes;", "try_acquire takes what is not there"),
    Mutant("once-done", "engine/event.h", "case Access::once: return value == 2 ? Outcome::reads : writes_if(value == 0, Outcome::blocks);",
           "case Access::once: return writes_if(value != 1, Outcome::blocks);", "call_once calls again"),
    Mutant("once-blocks", "engine/event.h", "case Access::once: return value == 2 ? Outcome::reads : writes_if(value == 0, Outcome::blocks);",
           "case Access::once: return writes_if(value == 0, Outcome::reads);", "call_once does not wait for the call under way"),
    Mutant("woken-only", "engine/event.h", "case Access::wake: return writes_if((value & argument) != 0, Outcome::blocks);",
           "case Access::wake: return Outcome::writes;", "a wait on a condition variable ends for no reason"),
    Mutant("lock-waits", BLOCKING, "self().soft = soft;\n  wait_for(Wait::unlock, owner);", "self().soft = soft;",
           "a lock does not wait for the owner before"),
    Mutant("lock-acquires", GRAPH, "next.hb |= events_[unlock].hb;\n        next.hb.set(unlock);", "", "a lock learns nothing of the owner before"),
    Mutant("try-lock-fails", ADDING, "if (owner >= 0 && !(unlock >= 0 && from.hb.has(unlock))) {", "if (false) {", "try_lock never fails"),
    Mutant("try-lock-succeeds", ADDING, "if (owner < 0 || unlock >= 0) {\n      if (graph.bound", "if (owner < 0) {\n      if (graph.bound",
           "try_lock succeeds only where nobody has locked yet"),
    Mutant("try-lock-known-unlock", ADDING, "if (owner >= 0 && !(unlock >= 0 && from.hb.has(unlock))) {", "if (owner >= 0) {",
           "try_lock fails although its thread knows of the unlock"),
    Mutant("timeout", BLOCKING, "read.access = timed || spurious ? Access::wake_or_leave : Access::wake;",
           "read.access = spurious ? Access::wake_or_leave : Access::wake;", "a timed wait never times out"),
    Mutant("spurious", BLOCKING, "const bool spurious = options_.spurious_wakeups && !self().spurious;", "const bool spurious = false;",
           "no wait ends for no reason"),
    Mutant("join-waits", BLOCKING, "wait_for(Wait::exit, static_cast<int>(thread));\n  ThreadState<W>& other", "ThreadState<W>& other",
           "join does not wait"),
    Mutant("join-acquires", RUNNING, "thread.front.hb |= graph()[exit].hb;\n    thread.front.hb.set(exit);", "",
           "join learns nothing of the thread"),
    Mutant("replay-in-order", RUNNING, "return graph()[e].porf.within(done_);", "return true;",
           "events are replayed before what they depend on"),
    Mutant("replay-at-once-in-order", OPERATIONS, "!in_turn_.has(e) && event.porf.within(done_) &&", "!in_turn_.has(e) &&",
           "accesses are replayed before what they depend on"),
    Mutant("replay-last", RUNNING, "if (to_replay_ != 0) in_turn_.set(graph().step(to_replay_ - 1));", "",
           "what goes on after a replay is not the thread whose event is the last",
           harmless="Which thread goes on is for the explorer to choose; that it is the one with the revisited read keeps a run "
                    "from being given up late."),
    Mutant("slot-hooks", RUNNING, "if (slots[i].hook != nullptr) slots[i].hook(slots[i].value);", "", "slots' hooks do not run"),
    Mutant("slot-rounds", RUNNING, "constexpr int kRounds = 4;", "constexpr int kRounds = 1;", "slots set by hooks are forgotten"),
    Mutant("slot-order", RUNNING, "for (int i = count; i-- > 0;) {", "for (int i = 0; i < count; ++i) {", "slots' hooks run in the order of setting"),
    Mutant("spinning", OPERATIONS, "if (steering_ == nullptr) stay_stuck();", "", "a loop that goes round in vain goes on"),
    Mutant("spinning-on-the-newest", ENDING, "if (graph().place(load.source) != graph().at(load.location).count - 1) return Ending::blocked;",
           "(void)load;", "a loop that has not seen the newest value counts as a livelock"),
    Mutant("stuck-but-served", ENDING, "} else if (explorer.would_go_on(e)) {", "} else if (false) {",
           "a wait that would go on if it looked again counts as a deadlock"),
    Mutant("lost-or-dead", ENDING, "if (notify && graph()[e].reads() && graph()[e].location == location) notified_early = true;", "(void)notify;",
           "a lost wake-up is called a deadlock"),
    Mutant("atomic-notify", ENDING, "if (atomic_waits_ && notification_missing()) return Ending::failed;", "",
           "a wait on an atomic need not be notified"),
    Mutant("waiters-of-atomics", ENDING, "++waiters;", "", "one notify_one is enough for any number of waits"),
]

DETECTION = [
    Mutant("races-of-writes", RACES, ": earlier.write || access.write;", ": access.write;", "a read does not race with an earlier write"),
    Mutant("races-of-reads", RACES, ": earlier.write || access.write;", ": earlier.write;", "a write does not race with an earlier read"),
    Mutant("races-of-bytes", RACES, "if (overlap && !past", "if (!past", "accesses to neighbouring bytes race"),
    Mutant("races-forgotten", RACES, "(access.write || !earlier.write);", "true;", "a read hides an earlier write"),
    Mutant("leaks", ENDING, "if (options_.leaks && forked_ == 0 && memory_.live() != 0) {", "if (false) {", "memory may be left"),
    Mutant("litmus-races", ENDING, "f != e && !graph()[f].hb.has(e);", "f != e && f < 0;", "plain accesses of litmus programs do not race"),
]

MUTANTS = AXIOMS + REVISITS + WAITING + DETECTION
