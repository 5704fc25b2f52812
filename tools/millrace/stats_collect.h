// Statistics of pieces put together to those of tensors and channels.
#pragma once

#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include <millrace/reduction.h>

#include "stats_plan.h"

namespace millrace::tool {

struct TensorStatistics {
  Statistics all;
  std::vector<Statistics> channels;  ///< empty unless the tensor was split into them
};

/// The pieces of one tensor put together, in their order.
///
/// Thread safety: one thread at a time.
class TensorFold {
 public:
  /// found: one a channel of the piece.
  void add(const Piece& piece, const Statistics* found);
  /// After the last piece; then it begins again. Channels are kept if the tensor was split.
  TensorStatistics take(const Split& split);

 private:
  std::vector<Statistics> channels_;  // grows as pieces come, not as a file claims
};

/// Takes batches in order, and so each tensor's pieces in order: sums have the same bits however many workers
/// there were.
///
/// Thread safety: one thread at a time, but for set.
class StatsCollector {
 public:
  /// known: what need not be computed, one a tensor; the plan has no pieces of those. The plan must outlive
  /// this.
  StatsCollector(const StatsPlan& plan, std::vector<std::optional<TensorStatistics>> known);

  void add(std::size_t batch, const std::vector<Statistics>& found);

  /// A tensor that was not in batches, or nothing where it was not finished. From any thread, also during
  /// add; once for each.
  void set(std::size_t tensor, std::optional<TensorStatistics> found) { tensors_[tensor] = std::move(found); }

  /// One a tensor, nothing for those of which a piece is missing.
  std::vector<std::optional<TensorStatistics>> take() { return std::move(tensors_); }

 private:
  const StatsPlan& plan_;
  std::vector<std::optional<TensorStatistics>> tensors_;
  TensorFold fold_;  // of the tensor that the next piece belongs to
};

}  // namespace millrace::tool
