// One reduction as loops over memory, cut into parts that several threads can do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "backends/host/reduce/cascade.h"
#include "backends/host/reduce/nest.h"
#include "backends/host/reduce/reducer.h"
#include "backends/host/workers.h"
#include "device/operation.h"

namespace millrace::host {

/// The innermost kept loop is the columns. Reduced loops inside of it in memory (runs) are combined to one
/// accumulator a column; those outside of it (rows) are combined a row of columns at a time. So memory is
/// walked in order either way.
///
/// The work is cut into units: a tile of columns, at one place of the other kept loops, and, where those are
/// few, a piece of the reduced loops. How it is cut depends on the work alone and never on who does it: the
/// result has the same bits for any number of workers.
///
/// Thread safety: one thread at a time, which may have the units done by others. The work outlives it.
class Engine {
 public:
  explicit Engine(const ReduceWork& work);

  /// Throws std::bad_alloc before anything is written.
  void run(Workers& workers);

 private:
  // What one thread works with.
  struct Scratch {
    std::byte* cascade;       // of rows of accumulators
    std::byte* rest;          // of those rows that do not fill a folded one
    std::byte* nest;          // of the runs of one column
    std::byte* accumulators;  // a tile
    std::byte* gathered;      // elements that were strided
  };

  void classify();
  void widen_columns();
  void cut();
  void write_nothing();
  Scratch scratch_of(int worker) noexcept;
  void do_unit(std::int64_t unit, int worker) noexcept;
  void merge_pieces(std::int64_t place) noexcept;
  /// Uses the accumulators up.
  void finish(std::int64_t place, std::byte* accumulators) noexcept;
  void fold(std::byte* accumulators, std::int64_t width, std::int64_t count) const noexcept;

  /// Of the nest of runs: short runs, or blocks of long ones.
  std::int64_t parts() const noexcept { return runs_.places * (short_runs_ ? 1 : blocks_); }
  std::int64_t first_column(std::int64_t place) const noexcept { return place % tiles_ * tile_; }
  std::int64_t columns_of(std::int64_t place) const noexcept;

  std::byte* reduce_rows(const std::byte* from, std::int64_t columns, std::int64_t begin, std::int64_t end,
                         const Scratch& scratch) const noexcept;
  void combine_rows(const std::byte* from, std::int64_t columns, std::int64_t stride, std::int64_t count,
                    std::int64_t row_stride, std::int64_t position, Cascade& cascade,
                    const Scratch& scratch) const noexcept;
  void reduce_runs(const std::byte* from, std::int64_t columns, std::byte* accumulators,
                   const Scratch& scratch) const noexcept;
  void reduce_nest(const std::byte* from, std::int64_t begin, std::int64_t end, std::byte* accumulator,
                   const Scratch& scratch) const noexcept;
  void reduce_long_runs(const std::byte* from, std::int64_t begin, std::int64_t end, Cascade& cascade,
                        const Scratch& scratch) const noexcept;
  void reduce_four_places(const std::byte* from, std::int64_t begin, std::int64_t end, std::byte* accumulator,
                          const Scratch& scratch) const noexcept;
  void reduce_short_runs(const std::byte* from, std::int64_t begin, std::int64_t end, Cascade& cascade,
                         const Scratch& scratch) const noexcept;
  /// n dense elements, the first of which has that position.
  void combine(const std::byte* elements, std::int64_t n, std::int64_t position,
               Cascade& cascade) const noexcept;
  const std::byte* at(const std::byte* from, std::int64_t elements) const noexcept {
    return from + elements * static_cast<std::int64_t>(reducer_.element_bytes);
  }

  const ReduceWork& work_;
  const Reducer& reducer_;
  const std::int64_t run_;                             // the most elements that are combined in one go
  Dims outer_, outer_strides_, outer_output_strides_;  // kept, but the columns
  std::int64_t columns_ = 1;
  std::int64_t stride_ = 0;  // of columns
  std::int64_t output_stride_ = 0;
  // Columns that hold a reduced loop too, which is folded at the end: each group has inner_ times as many as
  // it has results. 0: they have none.
  std::int64_t group_ = 0;
  std::int64_t inner_ = 1;
  std::int64_t group_output_stride_ = 0;
  Nest rows_, runs_;
  std::int64_t blocks_ = 1;  // long runs: pieces of run_ in one of them
  bool short_runs_ = false;

  std::int64_t tile_ = 1;    // columns a unit
  std::int64_t tiles_ = 1;   // a place of the outer kept loops
  std::int64_t fold_ = 1;    // rows that are taken as one
  std::int64_t places_ = 1;  // tiles of all outer places
  std::int64_t steps_ = 1;   // what pieces are cut from: rows, or parts of the nest of runs
  std::int64_t piece_ = 1;   // steps a piece
  std::int64_t pieces_ = 1;  // a place
  std::int64_t grain_ = 1;   // units that one thread takes at once

  std::size_t cascade_bytes_ = 0, rest_bytes_ = 0, nest_bytes_ = 0, tile_bytes_ = 0, gathered_bytes_ = 0;
  std::size_t scratch_bytes_ = 0;                   // all of them, for one worker
  std::unique_ptr<std::byte[]> scratch_, partial_;  // partial: accumulators of all pieces
};

}  // namespace millrace::host
