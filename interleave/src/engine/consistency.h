// The axioms that are about the whole graph: sequential consistency of the accesses that ask for it.
// Coherence and atomicity are upheld as events are added (explorer.h).
#pragma once

#include <algorithm>

#include "engine/graph.h"

namespace interleave {

/// psc of RC11 (Lahav et al., PLDI 2017) and plain sequential consistency.
///
/// Thread safety: one thread.
template <int W>
class Consistency {
 public:
  using Mask = Bits<W>;

  /// RC11's axiom: psc_base and psc_F together have no cycle.
  bool psc(const Graph<W>& graph);
  /// Program order, reads-from, modification order and reads-before together have no cycle.
  bool sc(const Graph<W>& graph);

 private:
  Mask entangled(const Graph<W>& graph) const;
  void communication(const Graph<W>& graph, const Mask& among);
  bool acyclic(const Mask& nodes) const;

  Mask later_[64 * W];      // in program order, of the same thread
  Mask after_[64 * W];      // that it happens before
  Mask direct_[64 * W];     // modification order and reads-before
  Mask eco_[64 * W];        // these and reads-from, transitively
  Mask elsewhere_[64 * W];  // later in program order, not at the same location
  Mask detours_[64 * W];    // what that is to what it happens before
  Mask sources_[64 * W];    // scb
  Mask successors_[64 * W];
};

/// What a cycle of RC11 can go through: not what the body did before it started a thread, nor what it did
/// when it knew all of them to have ended. By coherence nothing leads into the one or out of the other. In a
/// large test that is most of a run.
template <int W>
Bits<W> Consistency<W>::entangled(const Graph<W>& graph) const {
  Mask others;
  int first_start = graph.size();  // of a thread, in the body's order
  for (int e = 0; e < graph.size(); ++e) {
    if (graph[e].thread != 0) {
      others.set(e);
    } else if (graph[e].kind == Kind::create) {
      first_start = std::min<int>(first_start, graph[e].index);
    }
  }
  Mask found = others;
  for (int e = 0; e < graph.size(); ++e) {
    if (graph[e].thread == 0 && graph[e].index > first_start && !others.within(graph[e].hb)) found.set(e);
  }
  return found;
}

/// direct_ and eco_. An rmw is one event.
template <int W>
void Consistency<W>::communication(const Graph<W>& graph, const Mask& among) {
  among.each([&](int e) { direct_[e] = eco_[e] = Mask(); });
  graph.each_location([&](int, const typename Graph<W>::Location& location) {
    const Mask reads = location.reads & among;
    if (!reads.any() && !(location.writes & among).any()) return;
    Mask later_writes, later_all;
    for (int i = location.count - 1; i >= -1; --i) {
      const int write = i < 0 ? kNone : location.order[i];
      Mask readers;
      reads.each([&](int r) {
        if (graph[r].source == write) readers.set(r);
      });
      readers.each([&](int r) {
        Mask others = later_writes;
        Mask all = later_all;
        others.clear(r);
        all.clear(r);
        direct_[r] |= others;
        eco_[r] |= all;
      });
      if (write < 0) break;
      if (!among.has(write)) continue;
      direct_[write] |= later_writes;
      eco_[write] |= later_all | readers;
      later_all |= readers;
      later_all.set(write);
      later_writes.set(write);
    }
  });
}

template <int W>
bool Consistency<W>::acyclic(const Mask& nodes) const {
  // Nodes that nothing left points to can't be on a cycle: take them away until nothing changes.
  Mask left = nodes;
  for (bool changed = true; changed && left.any();) {
    changed = false;
    Mask reached;
    left.each([&](int e) { reached |= successors_[e]; });
    const Mask remaining = left & reached;
    if (remaining != left) {
      left = remaining;
      changed = true;
    }
  }
  return !left.any();
}

template <int W>
bool Consistency<W>::psc(const Graph<W>& graph) {
  if (!graph.strong()) return true;
  const Mask among = entangled(graph);
  Mask strong, fences;
  among.each([&](int e) {
    if (graph[e].order != Order::seq_cst) return;
    strong.set(e);
    if (graph[e].kind == Kind::fence) fences.set(e);
  });
  if (strong.count() < 2) return true;

  among.each([&](int e) { later_[e] = after_[e] = Mask(); });
  among.each([&](int e) {
    Mask known = graph[e].hb;
    // A lock has the unlock before it in what comes next, as it may be added while the mutex is held
    // (graph.h).
    if (const int unlock = graph[e].kind == Kind::lock ? graph.awaited_unlock(e) : kNone; unlock >= 0) {
      known |= graph[unlock].hb;
      known.set(unlock);
    }
    (known & among).each([&](int before) { after_[before].set(e); });
  });
  among.each([&](int e) {
    for (int p = graph[e].before; p >= 0 && graph[p].thread == graph[e].thread && among.has(p);
         p = graph[p].before) {
      later_[p].set(e);
    }
  });
  communication(graph, among);

  const auto has_location = [&](int e) {
    const Kind kind = graph[e].kind;
    return kind == Kind::load || kind == Kind::store || kind == Kind::rmw;
  };
  const auto elsewhere = [&](int e) {
    if (!has_location(e)) return later_[e];
    const auto& here = graph.at(graph[e].location);
    return later_[e] - (here.reads | here.writes);
  };
  among.each([&](int e) { elsewhere_[e] = elsewhere(e); });
  among.each([&](int b) {
    detours_[b] = Mask();
    after_[b].each([&](int c) { detours_[b] |= elsewhere_[c]; });
  });
  among.each([&](int e) {
    Mask& scb = sources_[e];
    scb = later_[e] | direct_[e];
    if (has_location(e)) {
      const auto& here = graph.at(graph[e].location);
      scb |= after_[e] & (here.reads | here.writes);
    }
    elsewhere_[e].each([&](int b) { scb |= detours_[b]; });
  });
  const auto strong_behind = [&](const Mask& set) {  // [SC] or hb?;[F SC]
    Mask found = set & strong;
    set.each([&](int e) { found |= after_[e] & fences; });
    return found;
  };
  strong.each([&](int e) {
    Mask from = Mask::one(e);
    if (fences.has(e)) from |= after_[e];
    Mask through;
    from.each([&](int f) { through |= sources_[f]; });
    successors_[e] = strong_behind(through);
    if (!fences.has(e)) return;
    successors_[e] |= after_[e] & fences;
    Mask communicated, behind;
    after_[e].each([&](int f) { communicated |= eco_[f]; });
    communicated.each([&](int f) { behind |= after_[f]; });
    successors_[e] |= behind & fences;
  });
  return acyclic(strong);
}

template <int W>
bool Consistency<W>::sc(const Graph<W>& graph) {
  const Mask all = graph.all();
  communication(graph, all);
  for (int e = 0; e < graph.size(); ++e) successors_[e] = direct_[e];
  for (int e = 0; e < graph.size(); ++e) graph[e].porf.each([&](int before) { successors_[before].set(e); });
  return acyclic(all);
}

}  // namespace interleave
