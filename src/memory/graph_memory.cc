#include "memory/graph_memory.h"

#include <algorithm>
#include <utility>

#include "memory/allocator.h"

namespace millrace {

void Allocator::begin_capture(int slot) {
  static_cast<void>(release_graphs());
  sync::LockGuard lock(graphs_mutex_);
  auto found = std::ranges::find_if(graphs_, [slot](const auto& memory) {
    return memory->stage == GraphMemory::Stage::idle && memory->arena.slot() == slot;
  });
  if (found == graphs_.end()) {
    graphs_.push_back(std::make_unique<GraphMemory>(slot, geometry_, source_, *map_, *this));
    found = graphs_.end() - 1;
  }
  (*found)->stage = GraphMemory::Stage::capturing;
  // release: pairs with the acquire in arena_of.
  arenas_[static_cast<std::size_t>(slot)].store(&(*found)->arena, std::memory_order_release);
}

GraphMemory& Allocator::end_capture(int slot) noexcept {
  sync::LockGuard lock(graphs_mutex_);
  arenas_[static_cast<std::size_t>(slot)].store(nullptr, std::memory_order_relaxed);  // the lease has ended
  const auto found = std::ranges::find_if(graphs_, [slot](const auto& memory) {
    return memory->stage == GraphMemory::Stage::capturing && memory->arena.slot() == slot;
  });
  (*found)->stage = GraphMemory::Stage::held;
  return **found;
}

void Allocator::add_launch(GraphMemory& memory, int slot) {
  const TimelinePoint point{slot, streams_.timeline(slot).covering()};
  {
    sync::LockGuard lock(graphs_mutex_);
    const auto known = std::ranges::find(memory.launches, slot, &TimelinePoint::queue);
    if (known == memory.launches.end()) {
      memory.launches.push_back(point);
    } else {
      known->value = std::max(known->value, point.value);
    }
  }
  streams_.cover(point);
}

void Allocator::drop_graph(GraphMemory& memory, sync::Ref<DeviceGraph> graph) noexcept {
  {
    sync::LockGuard lock(graphs_mutex_);
    memory.stage = GraphMemory::Stage::dropped;
    memory.graph = std::move(graph);
  }
  static_cast<void>(release_graphs());
}

std::optional<TimelinePoint> Allocator::release_graphs() noexcept {
  std::optional<TimelinePoint> next;
  for (;;) {
    sync::Ref<DeviceGraph> over;  // destroyed with no lock held
    sync::LockGuard lock(graphs_mutex_);
    for (const auto& memory : graphs_) {
      if (memory->stage != GraphMemory::Stage::dropped) continue;
      const auto running = std::ranges::find_if_not(
          memory->launches, [this](const TimelinePoint& point) { return reached(point); });
      if (running != memory->launches.end()) {
        if (running->value <= streams_.timeline(running->queue).submitted()) next = *running;
        continue;
      }
      over = std::move(memory->graph);
      memory->launches.clear();
      if (memory->arena.release_all()) memory->stage = GraphMemory::Stage::idle;
      if (over) break;
    }
    if (!over) return next;
  }
}

}  // namespace millrace
