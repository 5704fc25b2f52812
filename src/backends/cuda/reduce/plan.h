// One reduction as its kernels see it: plain numbers, cut into blocks.
#pragma once

#include <cstdint>

#include <millrace/dtype.h>
#include <millrace/reduction.h>
#include <millrace/tensor.h>

namespace millrace {
struct ReduceWork;
}

namespace millrace::cuda {

/// A block's threads. Powers of two all of them, since threads are merged by halves.
inline constexpr int kThreads = 256;

/// One loop of a nest and what a step of it moves, in elements of either tensor.
struct Loop {
  std::int64_t size;
  std::int64_t stride;  ///< of the input
  std::int64_t other;   ///< kept loops: of the output; reduced ones: of the position
};

/// Copied to the device as it is. Loops are innermost first.
///
/// A block has columns * ways = kThreads threads: that many outputs, and for each that many threads that
/// share its elements, which are merged at the end. Where one output has elements for several blocks they are
/// cut in splits, whose accumulators a second kernel merges.
struct ReducePlan {
  const void* input;
  void* output;
  void* values;  ///< argmin and argmax: null, or where the elements found go
  std::int64_t kept_count;
  std::int64_t reduced_count;
  double correction;  ///< var and std
  DType dtype;        ///< of the input
  ReduceOp op;        ///< unless statistics
  bool statistics;

  int kept_rank;
  int reduced_rank;
  Loop kept[kMaxDims];
  Loop reduced[kMaxDims];
  bool contiguous;  ///< the elements of an output follow each other in memory

  int columns;
  int ways;
  bool columns_adjacent;  ///< neighbouring threads have neighbouring outputs; else neighbouring elements
  std::int64_t tiles;     ///< blocks for all outputs
  std::int64_t splits;    ///< blocks for one output's elements
  std::int64_t split_size;

  // A step of a thread, from one of its elements to its next, is `ways` elements: how often each reduced loop
  // advances in it, and what that moves.
  std::int64_t step[kMaxDims];
  std::int64_t step_stride;
  std::int64_t step_position;
};

/// Cannot fail: the work was checked where it was planned.
ReducePlan plan_reduce(const ReduceWork& work) noexcept;

}  // namespace millrace::cuda
