#include "memory/graph_memory.h"

#include <algorithm>
#include <utility>

#include "memory/allocator.h"

namespace millrace {

GraphMemory* Allocator::find_graph_memory(int slot, GraphMemory::Stage stage) noexcept {
  for (const auto& memory : graphs_) {
    if (memory->stage == stage && memory->arena.slot() == slot) return memory.get();
  }
  return nullptr;
}

void Allocator::reserve_capture(int slot) {
  const TellAtEnd tell(*this);
  static_cast<void>(release_graphs());
  sync::LockGuard lock(graphs_mutex_);
  if (find_graph_memory(slot, GraphMemory::Stage::idle) == nullptr)
    graphs_.push_back(std::make_unique<GraphMemory>(slot, geometry_, source_, *map_, *this));
}

void Allocator::begin_capture(int slot) noexcept {
  sync::LockGuard lock(graphs_mutex_);
  GraphMemory& memory = *find_graph_memory(slot, GraphMemory::Stage::idle);
  memory.stage = GraphMemory::Stage::capturing;
  // release: pairs with the acquire in arena_of.
  arenas_[static_cast<std::size_t>(slot)].store(&memory.arena, std::memory_order_release);
}

GraphMemory& Allocator::end_capture(int slot, std::span<const int> branches) noexcept {
  sync::LockGuard lock(graphs_mutex_);
  GraphMemory& memory = end_captured_stream(slot);
  for (const int branch : branches) {
    GraphMemory& of_branch = end_captured_stream(branch);
    of_branch.branch = std::exchange(memory.branch, &of_branch);
  }
  return memory;
}

GraphMemory& Allocator::end_captured_stream(int slot) noexcept {
  arenas_[static_cast<std::size_t>(slot)].store(nullptr, std::memory_order_relaxed);  // the lease has ended
  GraphMemory& memory = *find_graph_memory(slot, GraphMemory::Stage::capturing);
  memory.stage = GraphMemory::Stage::held;
  return memory;
}

void Allocator::add_launch(GraphMemory& memory, int slot) {
  const TimelinePoint point{slot, streams_.timeline(slot).covering()};
  {
    sync::LockGuard lock(graphs_mutex_);
    for (GraphMemory* each = &memory; each != nullptr; each = each->branch) {
      const auto known = std::ranges::find(each->launches, slot, &TimelinePoint::queue);
      if (known == each->launches.end()) {
        each->launches.push_back(point);
      } else {
        known->value = std::max(known->value, point.value);
      }
    }
  }
  streams_.cover(point);
}

void Allocator::drop_graph(GraphMemory& memory, sync::Ref<DeviceGraph> graph) noexcept {
  const TellAtEnd tell(*this);
  {
    sync::LockGuard lock(graphs_mutex_);
    for (GraphMemory* each = &memory; each != nullptr; each = std::exchange(each->branch, nullptr)) {
      each->stage = GraphMemory::Stage::dropped;
      each->graph = graph;
    }
  }
  graph = {};  // where no lock is held
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
