// All the runs of one check.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "interleave/check.h"

namespace interleave {

/// Sees complete executions; for the litmus front end.
///
/// Thread safety: one thread.
class Observer {
 public:
  virtual ~Observer() = default;
  /// Reads and modification orders by events named (thread, index); see GraphView.
  virtual void complete(const class GraphView& graph, bool race) = 0;
};

/// A complete execution, whatever the size of the engine.
///
/// Thread safety: one thread.
class GraphView {
 public:
  struct Name {
    int thread = -1;  // -1: the initial value
    int index = 0;
  };
  struct ReadFrom {
    Name read, source;
  };
  virtual ~GraphView() = default;
  /// In (thread, index) order.
  virtual std::vector<ReadFrom> reads() const = 0;
  /// Writes in modification order; empty if the object was not written.
  virtual std::vector<Name> order(const void* address) const = 0;
};

/// One check with an engine for runs of up to 64 * W events; false when runs need more, and the result says
/// nothing. Nothing to replay: an empty string.
template <int W>
bool explore_with(const Options& options, const std::function<void()>& body, Observer* observer,
                  const std::string& replay, Result& result, bool& race);

/// check, with what the program interleave needs besides.
Result explore(const Options& options, const std::function<void()>& body, Observer* observer,
               bool* plain_race);

}  // namespace interleave
