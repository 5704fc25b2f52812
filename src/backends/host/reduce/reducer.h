// What the engine needs to know of one operation on one element type: a table of loops over memory.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <millrace/dtype.h>
#include <millrace/reduction.h>

#include "device/operation.h"

namespace millrace::host {

/// The most elements that are combined in one go. Short enough that chains of additions stay as short as
/// those of NumPy's pairwise sum, and that a buffer of them stays in the first-level cache.
inline constexpr std::int64_t kRun = 4096;
/// Runs are whole pages, since where a loop's end meets that of the processor's reading ahead neither waits
/// for the other; two where four places are read in turn (docs/decisions/reductions.md).
inline constexpr std::int64_t kPage = 4096;
inline constexpr std::int64_t kTwoPages = 2 * kPage;
/// The most bytes of accumulators, and so columns, that a call of rows or runs gets.
inline constexpr std::int64_t kTileBytes = 16384;

/// An operation on an element type, whatever these are. Pointers to void are to elements, to accumulators
/// (accumulator_bytes each, aligned as their type asks) and to results; strides count elements.
///
/// An accumulator stands for some elements of the input. merge puts two together, the one with the earlier
/// elements first, so that a tree of merges gives the same bits however it is spread over threads.
///
/// Thread safety: a constant.
struct Reducer {
  std::size_t element_bytes;
  std::size_t accumulator_bytes;
  std::size_t result_bytes;
  /// The most memory of a run: kPage or kTwoPages.
  std::int64_t run_bytes;
  /// The most rows that are combined in one go; at most kRun.
  std::int64_t group;
  /// One accumulator of 0 < n <= kRun dense elements.
  void (*run)(const void* elements, std::int64_t n, void* accumulator);
  /// Four accumulators, of n dense elements each that begin distance elements apart, n a full run. Null where
  /// one after the other is as fast.
  void (*four_runs)(const void* elements, std::int64_t n, std::int64_t distance, void* accumulators);
  /// count accumulators, of n dense elements each that begin stride elements apart; n as for run.
  void (*runs)(const void* elements, std::int64_t count, std::int64_t n, std::int64_t stride,
               void* accumulators);
  /// columns accumulators: each of 0 < count <= group elements that are stride apart. Columns are dense.
  void (*rows)(const void* elements, std::int64_t columns, std::int64_t count, std::int64_t stride,
               void* accumulators);
  void (*merge)(void* into, const void* from, std::int64_t count);
  /// For those that remember positions: the accumulators' elements begin at position. Else null.
  void (*shift)(void* accumulators, std::int64_t count, std::int64_t position);
  /// An accumulator of no element.
  void (*clear)(void* accumulator);
  /// Writes count results, stride results apart.
  void (*finish)(const void* accumulators, std::int64_t count, void* results, std::int64_t stride,
                 const ReduceWork& work);
};

/// The most dense elements that are combined in one go.
constexpr std::int64_t run_of(const Reducer& reducer) noexcept {
  return std::min(kRun, reducer.run_bytes / static_cast<std::int64_t>(reducer.element_bytes));
}

/// Reducer::runs where several at once are no better than one after the other.
template <typename Stored, typename Accumulator, auto kRunLoop>
void runs_one_by_one(const void* elements, std::int64_t count, std::int64_t n, std::int64_t stride,
                     void* accumulators) {
  const auto* from = static_cast<const Stored*>(elements);
  auto* to = static_cast<Accumulator*>(accumulators);
  for (std::int64_t i = 0; i < count; ++i) kRunLoop(from + i * stride, n, to + i);
}

/// The table for the work's operation and type, for the best instructions this machine has.
const Reducer& reducer_of(const ReduceWork& work) noexcept;

// One family of operations each; op is one of theirs.
const Reducer& sum_reducer(ReduceOp op, DType dtype) noexcept;  ///< sum, mean, norm
const Reducer& prod_reducer(DType dtype) noexcept;
const Reducer& extreme_reducer(ReduceOp op, DType dtype) noexcept;   ///< min, max
const Reducer& logic_reducer(ReduceOp op, DType dtype) noexcept;     ///< any, all, counts
const Reducer& position_reducer(ReduceOp op, DType dtype) noexcept;  ///< argmin, argmax
const Reducer& moments_reducer(ReduceOp op, DType dtype) noexcept;   ///< var, std
const Reducer& statistics_reducer(DType dtype) noexcept;

}  // namespace millrace::host
