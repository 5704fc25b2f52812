// The memory of captured work, by stream.
#pragma once

#include <cstdint>
#include <vector>

#include "device/backend.h"
#include "device/graph.h"
#include "memory/arena.h"
#include "sync/ref.h"

namespace millrace {

/// Addresses are part of a graph, so that its memory is its own from the beginning of the capture until
/// nothing can be launched any more: nobody borrows it, and what is free in it is not given back. Then all of
/// it goes back at once, but for what somebody still has. Kept for the next capture of the slot, since arenas
/// live as long as the device.
///
/// Invariants (docs/concurrency.md):
///   A3  Memory that was allocated inside a capture is not handed out, lent or given back before the graph
///   has been
///       dropped and each of its launches is done.
///
/// Thread safety: the arena as an arena; the rest is guarded by Allocator::graphs_mutex_.
struct GraphMemory {
  enum class Stage : std::uint8_t {
    idle,       ///< has no memory
    capturing,  ///< its slot allocates from it
    held,       ///< somebody has the graph
    dropped,    ///< nobody has, but launches may be underway
  };

  GraphMemory(int slot, const Geometry& geometry, HeapSource& source, PageMap& map, ArenaHost& host)
      : arena(slot, ArenaUse::graph, geometry, source, map, host) {}

  Arena arena;
  Stage stage = Stage::idle;
  GraphMemory* branch = nullptr;        ///< while held: another stream's of the same capture
  std::vector<TimelinePoint> launches;  ///< the last one of each stream
  sync::Ref<DeviceGraph> graph;         ///< once it was dropped
};

}  // namespace millrace
