// A name for an execution: the same for the same graph, however it was reached.
#pragma once

#include <map>
#include <string>

#include "engine/graph.h"

namespace interleave {

/// What each event of each thread reads and where it is in modification order.
template <int W>
std::string fingerprint(const Graph<W>& graph) {
  std::map<std::pair<int, int>, std::string> events;
  const auto name = [&](int e) {
    return e < 0 ? std::string("i") : std::to_string(graph[e].thread) + "." + std::to_string(graph[e].index);
  };
  for (int e = 0; e < graph.size(); ++e) {
    const Event<W>& event = graph[e];
    std::string text;
    if (event.reads()) text += "r" + name(event.source) + (event.kind == Kind::load ? "-" : "+");
    if (event.kind == Kind::choice || event.kind == Kind::fork) text += "c" + std::to_string(event.value);
    if (event.access == Access::notify_one) text += "n" + std::to_string(event.choice);
    if (event.writes()) text += "w" + std::to_string(event.place);
    events[{event.thread, event.index}] = text;
  }
  std::string all;
  for (const auto& [key, text] : events) {
    all += std::to_string(key.first) + "." + std::to_string(key.second) + text + " ";
  }
  return all;
}

}  // namespace interleave
