// An execution graph: events, what each read reads from, and each location's modification order.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "engine/event.h"

namespace interleave {

/// Events are numbered in the order in which they were added, without gaps. What a graph holds of a location
/// is in arrays that are there for all locations, so that adding an event allocates nothing.
///
/// Thread safety: one thread.
template <int W>
class Graph {
 public:
  static constexpr int kEvents = 64 * W;
  static constexpr int kLocations = 4096;
  using Mask = Bits<W>;

  struct Location {
    Mask reads;   // rmws included
    Mask writes;  // those in modification order
    std::uint16_t count = 0;
    std::uint16_t active = 0;  // 1 + where it is in the list of those in use
    Number<W> order[kEvents];
  };

  Event<W>& operator[](int e) noexcept { return events_[e]; }
  const Event<W>& operator[](int e) const noexcept { return events_[e]; }
  int size() const noexcept { return size_; }
  Mask all() const noexcept { return Mask::below(size_); }
  Location& at(int location) noexcept { return locations_[location]; }
  const Location& at(int location) const noexcept { return locations_[location]; }

  /// Events in an order that respects dependencies: how to run it again.
  int steps() const noexcept { return steps_; }
  int step(int i) const noexcept { return schedule_[i]; }

  template <typename F>
  void each_location(F f) const {
    for (int i = 0; i < active_count_; ++i) f(static_cast<int>(active_[i]), locations_[active_[i]]);
  }

  void clear() noexcept {
    for (int i = 0; i < active_count_; ++i) {
      Location& location = locations_[active_[i]];
      location.reads = location.writes = Mask();
      location.count = location.active = 0;
    }
    size_ = steps_ = active_count_ = 0;
    strong_ = forks_ = false;
  }

  /// False: no event can be seq_cst.
  bool strong() const noexcept { return strong_; }
  void note_strong(Order order) noexcept { strong_ = strong_ || order == Order::seq_cst; }

  /// False: no event is a fork.
  bool forks() const noexcept { return forks_; }

  bool full() const noexcept { return size_ == kEvents; }

  /// A new event at the end of its thread. Its source and place come after.
  int add(Kind kind, int thread, const Frontier<W>& from, Order order) noexcept {
    const int e = size_++;
    Event<W>& event = events_[e];
    event.hb = from.hb;
    event.porf = from.porf;
    event.pending = from.pending;
    event.sync = Mask();
    event.value = event.argument = 0;
    event.joined = from.joined;
    event.before = from.before;
    event.source = kNone;
    event.release_fence = from.release_fence;
    event.index = from.count;
    event.thread = static_cast<std::uint8_t>(thread);
    event.partner = event.after = kNone;
    if (from.before >= 0) events_[from.before].precede(e, event);
    event.location = event.place = 0;
    event.choice = 0;
    event.kind = kind;
    event.access = Access::load;
    event.order = event.success = event.failure = order;
    event.unplaced = event.blocked = event.repeats = false;
    note_strong(order);
    forks_ = forks_ || kind == Kind::fork;
    schedule_[steps_++] = static_cast<Number<W>>(e);
    return e;
  }

  void touch(int location) noexcept {
    Location& entry = locations_[location];
    if (entry.active != 0) return;
    active_[active_count_++] = static_cast<std::uint16_t>(location);
    entry.active = static_cast<std::uint16_t>(active_count_);
  }

  /// Into modification order, before what is at that place now.
  void insert(int location, int place, int write) noexcept {
    Location& entry = locations_[location];
    for (int i = entry.count; i > place; --i) {
      entry.order[i] = entry.order[i - 1];
      events_[entry.order[i]].place = static_cast<std::uint16_t>(i);
    }
    entry.order[place] = static_cast<Number<W>>(write);
    events_[write].place = static_cast<std::uint16_t>(place);
    ++entry.count;
    entry.writes.set(write);
  }
  void remove(int location, int place) noexcept {
    Location& entry = locations_[location];
    entry.writes.clear(entry.order[place]);
    --entry.count;
    for (int i = place; i < entry.count; ++i) {
      entry.order[i] = entry.order[i + 1];
      events_[entry.order[i]].place = static_cast<std::uint16_t>(i);
    }
  }

  /// The place of a write; -1 for the initial value.
  int place(int write) const noexcept { return write < 0 ? -1 : events_[write].place; }

  /// The newest place in modification order that a thread that knows of hb has seen written or read: it can't
  /// go back behind it. -1: none.
  int floor(int location, const Mask& hb) const noexcept {
    const Location& entry = locations_[location];
    int place = -1;
    if ((entry.writes & hb).any()) {
      for (place = entry.count - 1; place >= 0 && !hb.has(entry.order[place]);) --place;
    }
    (entry.reads & hb).each([&](int r) {
      const int source = events_[r].source;
      if (source >= 0 && events_[source].place > place) place = events_[source].place;
    });
    return place;
  }

  /// Whether the write at that place is a read-modify-write, which nothing may come between and its source.
  bool bound(int location, int place) const noexcept {
    const Location& entry = locations_[location];
    return place < entry.count && events_[entry.order[place]].writes_too();
  }

  /// What the next event of the thread starts from, if nothing is joined in between.
  Frontier<W> after(int e) const noexcept {
    Frontier<W> next;
    advance(next, e);
    return next;
  }
  void advance(Frontier<W>& next, int e) const noexcept {
    const Event<W>& event = events_[e];
    const Mask mine = Mask::one(e);
    next.joined = 0;
    next.hb = event.hb | mine;
    next.porf = event.porf | mine;
    next.pending = event.pending;
    next.before = static_cast<std::int16_t>(e);
    next.release_fence = event.kind == Kind::fence && releases(event.order) ? static_cast<std::int16_t>(e)
                                                                            : event.release_fence;
    next.count = static_cast<std::uint16_t>(event.index + 1);
    if (const int unlock = awaited_unlock(e); unlock >= 0) {
      next.porf |= events_[unlock].porf;
      next.porf.set(unlock);
      if (event.kind == Kind::lock) {
        next.hb |= events_[unlock].hb;
        next.hb.set(unlock);
      }
    }
  }

  /// The unlock that must have happened before the thread goes on after e: by the owner before, if e is a
  /// lock; if it is a failed try_lock, by the one before the owner that it has met.
  int awaited_unlock(int e) const noexcept {
    const int owner = awaited_owner(e);
    return owner < 0 ? kNone : events_[owner].partner;
  }
  int awaited_owner(int e) const noexcept {
    const Event<W>& event = events_[e];
    if (event.kind == Kind::lock) return event.source;
    if (event.access == Access::try_lock && event.kind == Kind::load && event.source >= 0) {
      return events_[event.source].source;
    }
    return kNone;
  }

  /// What event e of the graph started from, before it read.
  Frontier<W> base(int e) const noexcept {
    const Event<W>& event = events_[e];
    Frontier<W> from;
    if (event.before >= 0) {
      from = after(event.before);
      if (events_[event.before].thread != event.thread) {  // it made this thread
        from.pending = Mask();
        from.release_fence = kNone;
        from.count = 0;
      }
    }
    add_joined(from, event.joined);
    return from;
  }
  void add_joined(Frontier<W>& from, std::uint32_t threads) const noexcept {
    from.joined = threads;
    if (threads == 0) return;
    for (int e = 0; e < size_; ++e) {
      if (events_[e].kind != Kind::exit || (threads >> events_[e].thread & 1) == 0) continue;
      from.hb |= events_[e].hb;
      from.hb.set(e);
      from.porf |= events_[e].porf;
      from.porf.set(e);
    }
  }

  /// Lets read e take its value from the write (or kNone) and learn what goes with it.
  void read_from(int e, int source, const Frontier<W>& from) noexcept {
    Event<W>& event = events_[e];
    event.hb = from.hb;
    event.porf = from.porf;
    event.pending = from.pending;
    event.source = static_cast<std::int16_t>(source);
    if (source < 0) return;
    const Event<W>& write = events_[source];
    event.porf |= write.porf;
    event.porf.set(source);
    if (event.order == Order::plain) return;
    if (acquires(event.order)) event.hb |= write.sync;
    event.pending |= write.sync;
  }

  /// Whether the latest loads of e's thread, e last, read the same twice over, round after round.
  bool repeats(int e) const noexcept {
    const auto load_before = [&](int l) {
      const int before = events_[l].before;
      return before >= 0 && events_[before].kind == Kind::load && events_[before].thread == events_[e].thread
                 ? before
                 : kNone;
    };
    const auto same = [&](int a, int b) {
      return events_[a].location == events_[b].location && events_[a].source == events_[b].source;
    };
    int earlier = e;
    for (int p = 1; p <= kLongestRound; ++p) {
      earlier = load_before(earlier);
      if (earlier == kNone) return false;
      int later = e, in_round = 0;
      for (int l = earlier; l != kNone && in_round < p && same(l, later); ++in_round) {
        l = load_before(l);
        later = events_[later].before;
      }
      if (in_round == p) return true;
    }
    return false;
  }

  /// What the write publishes; its source is known.
  void publish(int e) noexcept {
    Event<W>& event = events_[e];
    event.sync = Mask();
    if (event.order == Order::plain || event.kind == Kind::lock) return;
    if (releases(event.order)) {
      event.sync = event.hb;
      event.sync.set(e);
    } else if (event.release_fence >= 0) {
      event.sync = events_[event.release_fence].hb;
      event.sync.set(event.release_fence);
    }
    if (event.writes_too() && event.source >= 0) event.sync |= events_[event.source].sync;
  }

  void copy_kept(const Graph& from, const Mask& kept, int last_step);
  std::size_t bytes() const noexcept;
  /// Of a saved graph.
  static std::size_t saved_bytes(const std::byte* from) noexcept;
  void save(std::byte* to) const noexcept;
  void load(const std::byte* from) noexcept;

 private:
  int size_ = 0;
  int steps_ = 0;
  int active_count_ = 0;
  bool strong_ = false;
  bool forks_ = false;
  Number<W> schedule_[kEvents];
  std::uint16_t active_[kLocations];
  Event<W> events_[kEvents];
  Location locations_[kLocations] = {};
};

/// Makes this the part of another graph that is kept, renumbered, with one event last in the schedule. The
/// kept events depend on kept events only, but for the source of last_step, which comes anew.
template <int W>
void Graph<W>::copy_kept(const Graph& from, const Mask& kept, int last_step) {
  clear();
  strong_ = from.strong_;
  forks_ = from.forks_;
  const Renumbering<W> renumber(kept, from.size_);
  const int same = renumber.same();
  const Mask stay = Mask::below(same);
  const auto id = [&](std::int16_t e) -> std::int16_t {
    if (e < same) return e;
    return kept.has(e) ? static_cast<std::int16_t>(renumber(e)) : std::int16_t{kNone};
  };
  const auto renumber_event = [&](Event<W>& event) {
    event.hb = renumber(event.hb);
    event.porf = renumber(event.porf);
    event.sync = renumber(event.sync);
    event.pending = renumber(event.pending);
    event.before = id(event.before);
    event.source = id(event.source);
    event.release_fence = id(event.release_fence);
  };
  const auto renumber_later = [&](Event<W>& event) {
    event.partner = id(event.partner);
    event.after = id(event.after);
  };
  std::memcpy(events_, from.events_, sizeof(Event<W>) * static_cast<std::size_t>(same));
  for (size_ = 0; size_ < same; ++size_) {
    Event<W>& event = events_[size_];
    if (!event.porf.within(stay)) renumber_event(event);  // it knows of nothing that it does not depend on
    if (std::max(event.partner, event.after) >= same) renumber_later(event);
  }
  for (int e = kept.next(same, from.size_); e < from.size_; e = kept.next(e + 1, from.size_)) {
    Event<W>& event = events_[size_++];
    event = from.events_[e];
    renumber_event(event);
    renumber_later(event);
  }
  for (int i = 0; i < from.steps_; ++i) {
    const int e = from.schedule_[i];
    if (e != last_step && kept.has(e)) schedule_[steps_++] = static_cast<Number<W>>(renumber(e));
  }
  schedule_[steps_++] = static_cast<Number<W>>(renumber(last_step));
  for (int a = 0; a < from.active_count_; ++a) {
    const Location& old = from.locations_[from.active_[a]];
    const Mask reads = old.reads & kept;
    const Mask writes = old.writes & kept;
    if (!reads.any() && !writes.any()) continue;
    touch(from.active_[a]);
    Location& entry = locations_[from.active_[a]];
    entry.reads = renumber(reads);
    entry.writes = renumber(writes);
    for (int i = 0; i < old.count; ++i) {
      if (!kept.has(old.order[i])) continue;
      const int e = renumber(old.order[i]);
      events_[e].place = entry.count;
      entry.order[entry.count++] = static_cast<Number<W>>(e);
    }
  }
}

namespace detail {
struct SavedLocation {
  std::uint16_t location, count;
};
struct SavedGraph {
  std::uint16_t size, steps, locations;
  bool strong, forks;
  std::uint64_t bytes;
};
}  // namespace detail

template <int W>
std::size_t Graph<W>::bytes() const noexcept {
  std::size_t sum = sizeof(detail::SavedGraph) + sizeof(Event<W>) * static_cast<std::size_t>(size_) +
                    sizeof(Number<W>) * static_cast<std::size_t>(steps_);
  for (int i = 0; i < active_count_; ++i) {
    sum +=
        sizeof(detail::SavedLocation) + 2 * sizeof(Mask) + sizeof(Number<W>) * locations_[active_[i]].count;
  }
  return (sum + 7) / 8 * 8;
}

template <int W>
void Graph<W>::save(std::byte* to) const noexcept {
  const auto put = [&](const void* what, std::size_t bytes) {
    std::memcpy(to, what, bytes);
    to += bytes;
  };
  const detail::SavedGraph head{static_cast<std::uint16_t>(size_),
                                static_cast<std::uint16_t>(steps_),
                                static_cast<std::uint16_t>(active_count_),
                                strong_,
                                forks_,
                                bytes()};
  put(&head, sizeof(head));
  put(events_, sizeof(Event<W>) * static_cast<std::size_t>(size_));
  put(schedule_, sizeof(Number<W>) * static_cast<std::size_t>(steps_));
  for (int i = 0; i < active_count_; ++i) {
    const Location& entry = locations_[active_[i]];
    const detail::SavedLocation saved{active_[i], entry.count};
    put(&saved, sizeof(saved));
    put(&entry.reads, sizeof(Mask));
    put(&entry.writes, sizeof(Mask));
    put(entry.order, sizeof(Number<W>) * entry.count);
  }
}

template <int W>
std::size_t Graph<W>::saved_bytes(const std::byte* from) noexcept {
  detail::SavedGraph head;
  std::memcpy(&head, from, sizeof(head));
  return head.bytes;
}

template <int W>
void Graph<W>::load(const std::byte* from) noexcept {
  const auto get = [&](void* what, std::size_t bytes) {
    std::memcpy(what, from, bytes);
    from += bytes;
  };
  clear();
  detail::SavedGraph head;
  get(&head, sizeof(head));
  size_ = head.size;
  strong_ = head.strong;
  forks_ = head.forks;
  steps_ = head.steps;
  get(events_, sizeof(Event<W>) * static_cast<std::size_t>(size_));
  get(schedule_, sizeof(Number<W>) * static_cast<std::size_t>(steps_));
  for (int i = 0; i < head.locations; ++i) {
    detail::SavedLocation saved;
    get(&saved, sizeof(saved));
    touch(saved.location);
    Location& entry = locations_[saved.location];
    entry.count = saved.count;
    get(&entry.reads, sizeof(Mask));
    get(&entry.writes, sizeof(Mask));
    get(entry.order, sizeof(Number<W>) * saved.count);
  }
}

}  // namespace interleave
