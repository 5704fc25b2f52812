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

/// A block's threads.
inline constexpr int kThreads = 256;
/// The widest load of a thread.
inline constexpr int kVectorBytes = 16;
/// What a block reads in a step where each of its threads has a vector.
inline constexpr int kStreamedBytes = kThreads * kVectorBytes;
/// The regime whole: threads of a block and blocks at most, and what a block leaves in.
inline constexpr int kWholeThreads = 1024;
inline constexpr int kWholeBlocks = 132;
inline constexpr int kWholeSlotBytes = 32;
/// Outputs are split in as many tiles at most, each of which needs a ticket (split.cuh).
inline constexpr int kMostSplitTiles = 1056;
static_assert(kMostSplitTiles * 4 >= kWholeBlocks * kWholeSlotBytes, "slots lie where tickets do");
/// Elements of an output in the regime few at most.
inline constexpr int kMostFew = 256;

/// How a kernel reads the input. dense and elements are there for every type, the others for those that
/// has_tuned_kernels names.
enum class Regime : std::uint8_t {
  dense,     ///< the elements of an output follow each other in memory
  rows,      ///< they do, and are few
  vectors,   ///< they come in runs
  lanes,     ///< the elements of a vector belong to as many outputs
  columns,   ///< so do those of what would be a vector if it were aligned: each is made of two
  few,       ///< an output's elements are so few that a thread has it by itself
  whole,     ///< all elements are one output's, and follow each other in memory
  elements,  ///< anything, an element a load
};

/// One loop of a nest and what a step of it moves, in elements of either tensor.
struct Loop {
  std::int64_t size;
  std::int64_t stride;  ///< of the input
  std::int64_t other;   ///< kept loops: of the output; reduced ones: of the position

  // For numbers below 2^31, the quotient by size is (high half of number * factor + number) >> shift; factor
  // is 0 where that is not prepared.
  std::uint32_t factor;
  std::uint32_t shift;
};

/// Copied to the device as it is. Loops are innermost first. In the regime vectors the innermost reduced loop
/// counts the vectors that a run may touch, in the regimes lanes, columns and few the innermost kept one
/// counts vectors (few: or pairs, or elements).
///
/// A block takes a tile: inner * outer outputs, each shared by `ways` threads. The threads are numbered in
/// the order in which memory is mostly laid out: neighbours are steps of kept[0] (by_columns; else inner is
/// 1), then come the ways, then further outputs. Where there are too few tiles each is cut in splits, a block
/// for each, of which the last to end merges what all have found.
struct ReducePlan {
  // What all kernels need comes first, since what a kernel needs of its parameters it has to wait for.
  const void* input;
  void* output;
  const void* input_end;  ///< behind the input's last element
  std::int64_t kept_count;
  std::int64_t reduced_count;
  std::int64_t splits;
  std::int64_t split_size;  ///< steps
  DType dtype;              ///< of the input
  ReduceOp op;              ///< unless statistics
  bool statistics;
  Regime regime;
  int threads;          ///< of a block
  std::int64_t blocks;  ///< that are launched; where there are no splits each takes several tiles
  double correction;    ///< var and std
  void* values;         ///< argmin and argmax: null, or where the elements found go

  int kept_rank;
  int reduced_rank;
  Loop kept[kMaxDims];
  Loop reduced[kMaxDims];

  bool by_columns;
  int inner;  ///< columns: whole warps, each of which has one output less
  int ways;
  int outer;
  std::int64_t outer_count;  ///< of outputs beside those along kept[0]
  std::int64_t inner_tiles;  ///< along kept[0]
  std::int64_t tiles;
  int lanes;                 ///< outputs of a thread: of a vector in lanes, columns and few, else 1
  int last_lanes;            ///< of the last along kept[0]
  std::int64_t lane_output;  ///< what a lane moves in the output
  bool is_dense;             ///< the elements of an output follow each other in memory
  bool ways_are_neighbours;  ///< and a power of two of them share an output

  int run;  ///< vectors: elements that follow each other in memory

  // dense: a step is an element. All others but rows: ways count through the first `covered` reduced loops
  // and `part` iterations of the next one, and a step is all that the ways of an output read at once. In the
  // steps from whole_steps on only those ways have an element that are below `last_part` in that next loop.
  int covered;
  int part;
  int last_part;
  std::int64_t parts;  ///< steps that the next loop takes
  std::int64_t steps;
  std::int64_t whole_steps;

  int rows_at_once;  ///< rows: of a thread
  bool is_aligned;   ///< rows, vectors: they are whole vectors
  bool is_streamed;  ///< lanes, vectors: a step of a tile is kStreamedBytes that follow each other

  int tile_outputs() const noexcept { return inner * outer * lanes; }
};

/// Types that large tensors have: all regimes are built for them, but for any, all and the counts. For all
/// else there are dense and elements.
constexpr bool has_tuned_kernels(DType dtype) noexcept {
  return dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16;
}

/// Cannot fail: the work was checked where it was planned.
ReducePlan plan_reduce(const ReduceWork& work) noexcept;

}  // namespace millrace::cuda
