// How events are added: Explorer's forward half. revisit_impl.h has the other.
#pragma once

#include <bit>

#include "engine/explorer.h"

namespace interleave {

template <int W>
void Explorer<W>::push(const Graph<W>& what) {
  if (chooser_ != nullptr) return;
  std::byte* room = stack_.push(what.bytes());
  if (room == nullptr) {
    out_of_memory_ = true;
    return;
  }
  what.save(room);
}

template <int W>
int Explorer<W>::add(Kind kind, int thread, const Frontier<W>& from, Order order) {
  const int e = graph.add(kind, thread, from, order);
  if (kind == Kind::fence && acquires(order)) graph[e].hb |= graph[e].pending;
  return e;
}

template <int W>
int Explorer<W>::add_choice(int thread, const Frontier<W>& from, int count) {
  const int e = graph.add(Kind::choice, thread, from, Order::relaxed);
  graph[e].choice = static_cast<std::uint8_t>(count);
  for (int i = 0; i < count; ++i) alternatives_[i] = {0, static_cast<std::uint8_t>(i), false};
  const int chosen = pick(count, Adding::choice);
  if (chooser_ == nullptr) {
    for (int i = 1; i < count; ++i) {
      graph[e].value = static_cast<std::uint64_t>(i);
      push(graph);
    }
  }
  graph[e].value = static_cast<std::uint64_t>(chosen);
  return e;
}

/// The parent's side; the child's, with the others at each point they can have been at, is for later runs.
template <int W>
int Explorer<W>::add_fork(int thread, const Frontier<W>& from) {
  const int e = graph.add(Kind::fork, thread, from, Order::relaxed);
  graph[e].choice = 2;
  alternatives_[0] = {0, 0, false};
  alternatives_[1] = {0, 1, false};
  if (chooser_ != nullptr) {
    graph[e].value = static_cast<std::uint64_t>(pick(2, Adding::choice));
    return e;
  }
  Mask needed = from.porf;
  needed.set(e);
  push_cuts(e, needed, graph.all());
  return e;
}

/// All parts of the graph between two, both closed under dependency.
template <int W>
void Explorer<W>::push_cuts(int fork, const Mask& least, const Mask& most) {
  int last = kNone;
  (most - least).each([&](int e) {
    // One that nothing in the larger part depends on can be taken away.
    if (!most.some([&](int f) { return graph[f].porf.has(e); })) last = e;
  });
  if (last == kNone) {
    const bool waiting = most.some([&](int e) {  // for an unlock: its lock has not happened
      return graph.awaited_owner(e) >= 0 &&
             (graph.awaited_unlock(e) < 0 || !most.has(graph.awaited_unlock(e)));
    });
    if (waiting) return;
    scratch_.copy_kept(graph, most, fork);
    const int copy = most.rank(fork);
    scratch_[copy].value = 1;
    for (int e = 0; e < scratch_.size(); ++e) scratch_[e].unplaced = false;
    if (cuts_.insert(fingerprint(scratch_)).second) push(scratch_);
    return;
  }
  Mask without = most;
  without.clear(last);
  push_cuts(fork, least, without);
  Mask with = least | graph[last].porf;
  with.set(last);
  push_cuts(fork, with, most);
}

template <int W>
int Explorer<W>::add_store(int thread, const Frontier<W>& from, int location, std::uint64_t value,
                           Order order) {
  const int e = graph.add(Kind::store, thread, from, order);
  graph[e].location = static_cast<std::uint16_t>(location);
  graph[e].value = value;
  graph.touch(location);
  graph.publish(e);
  revisit_from(e, kNone);

  const int newest = graph.at(location).count;
  const int floor = newest_only_ ? newest - 1 : graph.floor(location, from.hb);
  int count = 0;
  for (int place = newest; place > floor; --place) {
    if (graph.bound(location, place)) continue;
    if (place != newest) {  // at the newest place nothing can go wrong: no axiom has an edge out of it
      graph.insert(location, place, e);
      const bool ok = consistent(graph);
      if (ok) push(graph);
      graph.remove(location, place);
      if (!ok) continue;
    }
    alternatives_[count++] = {static_cast<std::int16_t>(place), 0, false};
  }
  graph.insert(location, alternatives_[pick(count, Adding::store)].place, e);
  return e;
}

/// The read's outcome with this source. Null: what only its thread knows is left to finish.
template <int W>
void Explorer<W>::settle(Graph<W>& in, int e, int source, std::uint64_t value, const Frontier<W>& from,
                         const Read* read) {
  Event<W>& event = in[e];
  Outcome result = outcome(event.access, event.argument, value);
  if (event.access == Access::await_code && read != nullptr && !read->holds(read->context, value)) {
    result = Outcome::blocks;
  }
  event.kind = result != Outcome::writes ? Kind::load : event.access == Access::lock ? Kind::lock : Kind::rmw;
  event.order = result == Outcome::writes ? event.success : event.failure;
  event.blocked = result == Outcome::blocks;
  event.unplaced = result == Outcome::writes || (event.access == Access::await_code && read == nullptr);
  event.partner = kNone;
  in.read_from(e, source, from);
  event.repeats = event.kind == Kind::load && in.repeats(e);
}

template <int W>
void Explorer<W>::settle_try(Graph<W>& in, int e, int source, bool success, const Frontier<W>& from) {
  Event<W>& event = in[e];
  event.kind = success ? Kind::lock : Kind::load;
  event.order = success ? event.success : event.failure;
  event.blocked = false;
  event.unplaced = success;
  event.partner = kNone;
  in.read_from(e, source, from);
  if (success && source >= 0) {  // without the unlock it would have failed
    const int unlock = in[source].partner;
    event.porf |= in[unlock].porf;
    event.porf.set(unlock);
  }
  event.repeats = event.kind == Kind::load && in.repeats(e);
}

template <int W>
void Explorer<W>::write_value(int e, const Read& read) {
  Event<W>& event = graph[e];
  event.value = next_value(read, value_read(e, read.initial), event.choice);
  event.unplaced = false;
  graph.publish(e);
}

/// An unplaced rmw is looked at as if it were placed.
template <int W>
bool Explorer<W>::consistent_with_write(Graph<W>& of, int e) {
  const Event<W>& event = of[e];
  if (!event.writes_too()) return consistent(of);
  of.insert(event.location, of.place(event.source) + 1, e);
  const bool ok = consistent(of);
  of.remove(event.location, event.place);
  return ok;
}

template <int W>
void Explorer<W>::finish(int e, const Read& read) {
  Event<W>& event = graph[e];
  const int location = event.location;
  if (event.kind == Kind::load) {  // an await whose condition is code
    event.unplaced = false;
    event.blocked = !read.holds(read.context, value_read(e, read.initial));
    abandoned_ = event.blocked && graph.place(event.source) != graph.at(location).count - 1;
    return;
  }
  write_value(e, read);
  const int place = graph.place(event.source) + 1;
  revisit_from(e, place);
  if (graph.bound(location, place)) {
    abandoned_ = true;
    return;
  }
  graph.insert(location, place, e);
}

template <int W>
Prospect Explorer<W>::prospect(const Frontier<W>& from, const Read& read) const {
  const auto& location = graph.at(read.location);
  const int floor = graph.floor(read.location, from.hb);
  for (int place = location.count - 1; place >= floor; --place) {
    const std::uint64_t value = place < 0 ? read.initial : graph[location.order[place]].value;
    const bool blocks = read.access == Access::await_code
                            ? !read.holds(read.context, value)
                            : outcome(read.access, read.argument, value) == Outcome::blocks;
    if (!blocks) return place == location.count - 1 ? Prospect::newest : Prospect::older;
    if (place < 0) break;
  }
  return Prospect::none;
}

template <int W>
bool Explorer<W>::would_go_on(int e) const noexcept {
  const Event<W>& event = graph[e];
  const auto& location = graph.at(event.location);
  const int newest = location.count == 0 ? kNone : location.order[location.count - 1];
  if (newest == event.source) return false;
  // What code says of the newest value is not known here; a value that it has not seen may be the one.
  return event.access == Access::await_code ||
         outcome(event.access, event.argument, graph[newest].value) != Outcome::blocks;
}

template <int W>
int Explorer<W>::add_read(int thread, const Frontier<W>& from, const Read& read) {
  const int e = graph.add(Kind::load, thread, from, read.failure);
  Event<W>& event = graph[e];
  event.location = read.location;
  event.access = read.access;
  event.argument = read.argument;
  event.success = read.success;
  event.failure = read.failure;
  graph.note_strong(read.success);
  graph.touch(read.location);
  auto& location = graph.at(read.location);
  location.reads.set(e);

  const int newest = location.count - 1;
  const int floor = newest_only_ ? newest : graph.floor(read.location, from.hb);
  int count = 0;
  int blocked = kNone - 1;  // the place whose value blocks; only the newest one is explored
  for (int place = newest; place >= floor && place >= -1; --place) {
    const int source = place < 0 ? kNone : location.order[place];
    const std::uint64_t value = place < 0 ? read.initial : graph[source].value;
    if (read.access == Access::load && all_consistent()) {
      alternatives_[count++] = {static_cast<std::int16_t>(place), 0, false};
      continue;
    }
    settle(graph, e, source, value, from, &read);
    if (event.blocked) {
      if (place == newest) blocked = place;
      continue;
    }
    const bool taken = event.unplaced && graph.bound(read.location, place + 1);
    if (place != newest && !taken && !consistent_with_write(graph, e)) continue;
    std::uint64_t choices = 1;
    if (read.access == Access::notify_one && event.unplaced) choices = value & kWaiting;
    if (taken) {
      // Another rmw has this source. Both can't, but the other one may read from this one instead.
      for (std::uint64_t rest = choices; rest != 0 && chooser_ == nullptr; rest &= rest - 1) {
        event.choice = static_cast<std::uint8_t>(std::countr_zero(rest));
        settle(graph, e, source, value, from, &read);
        write_value(e, read);
        revisit_from(e, place + 1);
      }
      continue;
    }
    for (std::uint64_t rest = choices; rest != 0; rest &= rest - 1) {
      alternatives_[count++] = {static_cast<std::int16_t>(place),
                                static_cast<std::uint8_t>(std::countr_zero(rest)), false};
    }
  }
  if (blocked >= kNone) alternatives_[count++] = {static_cast<std::int16_t>(blocked), 0, false, true};
  const auto take = [&](const Alternative& alternative) {
    const int source = alternative.place < 0 ? kNone : location.order[alternative.place];
    event.choice = alternative.choice;
    settle(graph, e, source, source < 0 ? read.initial : graph[source].value, from, &read);
  };
  settle_each(count, take);
  if (event.unplaced) finish(e, read);
  return e;
}

template <int W>
int Explorer<W>::add_try_lock(int thread, const Frontier<W>& from, const Read& read) {
  const int e = graph.add(Kind::load, thread, from, read.failure);
  Event<W>& event = graph[e];
  event.location = read.location;
  event.access = Access::try_lock;
  event.success = read.success;
  event.failure = read.failure;
  graph.note_strong(read.success);
  graph.touch(read.location);
  auto& location = graph.at(read.location);
  location.reads.set(e);

  const int floor = graph.floor(read.location, from.hb);
  int count = 0;
  for (int place = location.count - 1; place >= floor && place >= -1; --place) {
    const int owner = place < 0 ? kNone : location.order[place];
    const int unlock = owner < 0 ? kNone : graph[owner].partner;
    if (owner < 0 || unlock >= 0) {
      if (graph.bound(read.location, place + 1)) {
        if (chooser_ == nullptr) {
          settle_try(graph, e, owner, true, from);
          write_value(e, read);
          revisit_from(e, place + 1);
        }
      } else {
        alternatives_[count++] = {static_cast<std::int16_t>(place), 0, true};
      }
    }
    if (owner >= 0 && !(unlock >= 0 && from.hb.has(unlock))) {
      alternatives_[count++] = {static_cast<std::int16_t>(place), 0, false};
    }
  }
  const auto take = [&](const Alternative& alternative) {
    settle_try(graph, e, alternative.place < 0 ? kNone : location.order[alternative.place],
               alternative.success, from);
  };
  settle_each(count, take);
  if (event.unplaced) finish(e, read);
  return e;
}

template <int W>
int Explorer<W>::add_unlock(int thread, const Frontier<W>& from, int lock) {
  const int e = graph.add(Kind::unlock, thread, from, Order::release);
  graph[e].location = graph[lock].location;
  graph[e].partner = static_cast<std::int16_t>(lock);
  graph[lock].partner = static_cast<std::int16_t>(e);
  if (chooser_ == nullptr) {
    (graph.at(graph[lock].location).reads - graph[e].porf).each([&](int r) {
      if (graph[r].access == Access::try_lock) revisit_by_unlock(e, r);
    });
  }
  return e;
}

}  // namespace interleave
