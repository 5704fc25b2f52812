// How a write revisits reads: Explorer's backward half.
#pragma once

#include <bit>

#include "engine/explorer.h"

namespace interleave {

/// Whether e was added maximally as far as w's past and what came before e can tell: a read from the newest
/// write, a write at the newest place and read by nobody, a choice of the first.
template <int W>
bool Explorer<W>::maximal(int e, int w, const Mask& past) const {
  const Event<W>& event = graph[e];
  Mask previous = past | Mask::below(e + 1);
  previous.clear(w);
  switch (event.kind) {
    case Kind::fence:
    case Kind::create:
    case Kind::exit:
    case Kind::notify: return true;
    case Kind::fork:
    case Kind::choice: return event.value == 0;
    case Kind::unlock:
      // A try_lock that succeeded because of it.
      return !(graph.at(event.location).reads & previous).some([&](int r) {
        return graph[r].access == Access::try_lock && graph[r].kind == Kind::lock &&
               graph[r].source == event.partner;
      });
    default: break;
  }
  const auto& location = graph.at(event.location);
  if (event.writes() && (location.reads & previous).some([&](int r) { return graph[r].source == e; }))
    return false;
  if (event.access == Access::notify_one && event.kind == Kind::rmw) {
    const std::uint64_t woken = graph[event.source].value & kWaiting;
    if (event.choice != std::countr_zero(woken)) return false;
  }
  const int newest_known = event.writes() ? event.place : graph.place(event.source);
  for (int place = newest_known + 1; place < location.count; ++place) {
    if (previous.has(location.order[place])) return false;
  }
  if (event.access == Access::try_lock && event.kind == Kind::load) {
    const int unlock = graph[event.source].partner;
    if (unlock >= 0 && previous.has(unlock)) return false;
  }
  return true;
}

template <int W>
bool Explorer<W>::may_revisit(int w, int r, Mask& kept) const {
  const Mask& past = graph[w].porf;
  Mask dropped = graph.all() - Mask::below(r + 1) - past;
  dropped.clear(w);
  kept = graph.all() - dropped;
  dropped.set(r);
  return !dropped.some([&](int e) { return !maximal(e, w, past); });
}

/// All reads that the new write w may be read by instead. w is not yet in modification order; place is where
/// it goes if it is an rmw, kNone if it is a store.
template <int W>
void Explorer<W>::revisit_from(int w, int place) {
  if (chooser_ != nullptr || newest_only_) return;
  Mask reads = graph.at(graph[w].location).reads - graph[w].porf;
  reads.clear(w);
  reads.each([&](int r) { revisit(w, r, place); });
}

template <int W>
void Explorer<W>::revisit(int w, int r, int place) {
  Mask kept;
  if (!may_revisit(w, r, kept)) return;
  const int location = graph[w].location;
  scratch_.copy_kept(graph, kept, r);
  const int write = kept.rank(w);  // an rmw revisited before has an old number
  if (scratch_[r].writes()) scratch_.remove(location, scratch_[r].place);
  const Frontier<W> from = scratch_.base(r);
  const int seen = scratch_.floor(location, from.hb);
  if (place != kNone) {
    place = scratch_.place(scratch_[write].source) + 1;
    if (place <= seen || scratch_.bound(location, place)) return;
    scratch_.insert(location, place, write);
    push_settled(r, write, from);
    return;
  }
  const int floor = scratch_.floor(location, scratch_[write].hb);
  for (int at = scratch_.at(location).count; at > floor && at > seen; --at) {
    if (scratch_.bound(location, at)) continue;
    scratch_.insert(location, at, write);
    push_settled(r, write, from);
    scratch_.remove(location, at);
  }
}

/// scratch_ with r reading from w, if that is consistent and of any use.
template <int W>
void Explorer<W>::push_settled(int r, int w, const Frontier<W>& from) {
  Event<W>& event = scratch_[r];
  const bool newest = scratch_[w].place == scratch_.at(event.location).count - 1;
  if (event.access == Access::try_lock) {
    settle_try(scratch_, r, w, false, from);
  } else {
    settle(scratch_, r, w, scratch_[w].value, from, nullptr);
  }
  // A thread that waits for something newer is revisited again only if it has seen the newest.
  if (event.blocked && !newest) return;
  if (!newest && !consistent_with_write(scratch_, r)) return;
  if (event.access == Access::notify_one && event.kind == Kind::rmw) {
    for (std::uint64_t rest = scratch_[w].value & kWaiting; rest != 0; rest &= rest - 1) {
      event.choice = static_cast<std::uint8_t>(std::countr_zero(rest));
      push(scratch_);
    }
    return;
  }
  push(scratch_);
}

/// A try_lock that came too early, or got another turn, comes after this unlock instead.
template <int W>
void Explorer<W>::revisit_by_unlock(int unlock, int r) {
  Mask kept;
  if (!may_revisit(unlock, r, kept)) return;
  const int location = graph[unlock].location;
  scratch_.copy_kept(graph, kept, r);
  const int owner = scratch_[scratch_.size() - 1].partner;
  if (owner == kNone) return;
  if (scratch_[r].writes()) scratch_.remove(location, scratch_[r].place);
  const Frontier<W> from = scratch_.base(r);
  if (scratch_.floor(location, from.hb) > scratch_.place(owner)) return;
  settle_try(scratch_, r, owner, true, from);
  push(scratch_);
}

}  // namespace interleave
