#include "stream/order_graph.h"

namespace millrace {

bool OrderGraph::add(TimelinePoint waiter, TimelinePoint awaited) {
  if (reaches(awaited, waiter)) return false;
  edges_.push_back({waiter, awaited});
  return true;
}

bool OrderGraph::reaches(TimelinePoint from, TimelinePoint target) {
  for (Edge& edge : edges_) edge.visited = false;
  to_visit_.clear();
  to_visit_.push_back(from);
  while (!to_visit_.empty()) {
    const TimelinePoint point = to_visit_.back();
    to_visit_.pop_back();
    // A later segment of the target's stream comes after the target.
    if (point.queue == target.queue && point.value >= target.value) return true;
    for (Edge& edge : edges_) {
      if (edge.visited || edge.waiter.queue != point.queue || edge.waiter.value > point.value) continue;
      edge.visited = true;
      to_visit_.push_back(edge.awaited);
    }
  }
  return false;
}

void OrderGraph::erase_up_to(TimelinePoint waiter) noexcept {
  std::erase_if(edges_, [&](const Edge& edge) {
    return edge.waiter.queue == waiter.queue && edge.waiter.value <= waiter.value;
  });
}

void OrderGraph::erase_after(TimelinePoint waiter) noexcept {
  std::erase_if(edges_, [&](const Edge& edge) {
    return edge.waiter.queue == waiter.queue && edge.waiter.value > waiter.value;
  });
}

bool OrderGraph::has_waits_of(QueueId queue) const noexcept {
  for (const Edge& edge : edges_) {
    if (edge.waiter.queue == queue) return true;
  }
  return false;
}

bool OrderGraph::is_awaited_after(TimelinePoint point) const noexcept {
  for (const Edge& edge : edges_) {
    if (edge.awaited.queue == point.queue && edge.awaited.value > point.value) return true;
  }
  return false;
}

}  // namespace millrace
