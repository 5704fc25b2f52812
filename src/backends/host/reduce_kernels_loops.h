// One reduction as loops over memory; included by the files that instantiate it, an operation or two each,
// so that they compile side by side.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "backends/host/reduce_kernels_dense.h"
#include "backends/host/reduce_kernels_operator.h"
#include "backends/host/reduce_kernels_rows.h"
#include "device/operation.h"

namespace millrace::host {

/// One reduction of one element type. The innermost kept loop is the columns; reduced loops inside of
/// it in memory (runs) are combined to one value a column, those outside of it (rows) are combined a
/// row of columns at a time, so that memory is walked in order either way.
///
/// Thread safety: one thread at a time. The work outlives it.
template <typename R>
class Kernel {
 public:
  explicit Kernel(const ReduceWork& work) : work_(work) {
    const int kept = work.kept.size();
    for (int i = 0; i + 1 < kept; ++i) {
      outer_.push_back(work.kept[i]);
      outer_strides_.push_back(work.kept_strides[i]);
      outer_output_strides_.push_back(work.output_strides[i]);
    }
    if (kept > 0) {
      columns_ = work.kept[kept - 1];
      stride_ = work.kept_strides[kept - 1];
      output_stride_ = work.output_strides[kept - 1];
    }
    for (int i = 0; i < work.reduced.size(); ++i) {
      const bool outside = columns_ > 1 && stride_ > 0 && work.reduced_strides[i] > stride_;
      (outside ? rows_ : runs_).add(work.reduced[i], work.reduced_strides[i]);
    }
  }

  void run() {
    Walk walk(outer_, outer_strides_, outer_output_strides_);
    const auto* input = static_cast<const Stored*>(work_.input);
    auto* output = static_cast<Output*>(work_.output);
    if (work_.reduced_count == 0) {
      const Output value = R::finish(static_cast<Acc>(R::identity()), 0);
      do {
        Output* to = output + walk.other_offset();
        for (std::int64_t i = 0; i < columns_; ++i) to[i * output_stride_] = value;
      } while (walk.next());
    } else if (rows_.empty) {
      do {
        const Stored* from = input + walk.offset();
        Output* to = output + walk.other_offset();
        for (std::int64_t i = 0; i < columns_; ++i) {
          const Acc total = reduce_nest<R>(from + i * stride_, runs_);
          to[i * output_stride_] = R::finish(total, work_.reduced_count);
        }
      } while (walk.next());
    } else {
      run_rows(walk, input, output);
    }
  }

 private:
  using Stored = typename R::Stored;
  using Leaf = typename R::Leaf;
  using Acc = typename R::Acc;
  using Output = typename R::Output;

  // Columns worked on together: their accumulators stay in the first-level cache.
  static constexpr std::int64_t kColumns = 8192 / static_cast<std::int64_t>(sizeof(Acc));

  void run_rows(Walk& walk, const Stored* input, Output* output) {
    const std::int64_t row_count = element_count(rows_.outer) * rows_.size;
    // Narrow rows that follow each other in memory are taken several as one wide one.
    const bool dense = runs_.empty && stride_ == 1 && rows_.stride == columns_;
    const std::int64_t fold = dense ? std::clamp<std::int64_t>(kColumns / columns_, 1, rows_.size) : 1;
    const std::int64_t width = std::min(kColumns, columns_ * fold);
    RowCascade<R> wide(width, row_count);
    RowCascade<R> rest(fold > 1 ? columns_ : 1, row_count);
    do {
      for (std::int64_t first = 0; first < columns_; first += width) {
        const std::int64_t columns = std::min(width, columns_ - first);
        const Stored* from = input + walk.offset() + first * stride_;
        Output* to = output + walk.other_offset() + first * output_stride_;
        const Acc* totals =
            fold > 1 ? combine_folded(wide, rest, from, fold) : combine_rows(wide, from, columns);
        for (std::int64_t i = 0; i < columns; ++i) {
          to[i * output_stride_] = R::finish(totals[i], work_.reduced_count);
        }
      }
    } while (walk.next());
  }

  const Acc* combine_rows(RowCascade<R>& cascade, const Stored* from, std::int64_t columns) {
    cascade.clear(columns);
    Walk walk(rows_.outer, rows_.outer_strides);
    do {
      const Stored* row = from + walk.offset();
      if (runs_.empty) {
        cascade.add(row, stride_, rows_.size, rows_.stride);
        continue;
      }
      Acc results[static_cast<std::size_t>(kColumns)];
      for (std::int64_t r = 0; r < rows_.size; ++r, row += rows_.stride) {
        for (std::int64_t i = 0; i < columns; ++i) results[i] = reduce_nest<R>(row + i * stride_, runs_);
        cascade.push(results);
      }
    } while (walk.next());
    return cascade.total();
  }

  const Acc* combine_folded(RowCascade<R>& wide, RowCascade<R>& rest, const Stored* from, std::int64_t fold) {
    const std::int64_t width = columns_ * fold;
    const std::int64_t folded = rows_.size / fold;
    const std::int64_t left = rows_.size % fold;
    wide.clear(width);
    rest.clear(columns_);
    Walk walk(rows_.outer, rows_.outer_strides);
    do {
      const Stored* row = from + walk.offset();
      wide.add(row, 1, folded, width);
      rest.add(row + folded * width, 1, left, columns_);
    } while (walk.next());
    Acc* totals = wide.total();
    for (std::int64_t n = fold; n > 1;) {
      const std::int64_t half = (n + 1) / 2;
      for (std::int64_t i = 0; i < (n - half) * columns_; ++i) {
        totals[i] = R::combine(totals[i], totals[i + half * columns_]);
      }
      n = half;
    }
    if (rest.empty()) return totals;
    const Acc* last = rest.total();
    for (std::int64_t i = 0; i < columns_; ++i) totals[i] = R::combine(totals[i], last[i]);
    return totals;
  }

  const ReduceWork& work_;
  Dims outer_, outer_strides_, outer_output_strides_;  // kept, but the columns
  std::int64_t columns_ = 1;
  std::int64_t stride_ = 0;  // of columns
  std::int64_t output_stride_ = 0;
  RunLoops rows_, runs_;
};

template <ReduceOp kOp>
void run_for_type(const ReduceWork& work) {
  switch (work.input_dtype) {
    case DType::f64: return Kernel<Reduction<kOp, DType::f64>>(work).run();
    case DType::f32: return Kernel<Reduction<kOp, DType::f32>>(work).run();
    case DType::f16: return Kernel<Reduction<kOp, DType::f16>>(work).run();
    case DType::bf16: return Kernel<Reduction<kOp, DType::bf16>>(work).run();
    case DType::i64: return Kernel<Reduction<kOp, DType::i64>>(work).run();
    case DType::i32: return Kernel<Reduction<kOp, DType::i32>>(work).run();
    case DType::i16: return Kernel<Reduction<kOp, DType::i16>>(work).run();
    case DType::i8: return Kernel<Reduction<kOp, DType::i8>>(work).run();
    case DType::u8: return Kernel<Reduction<kOp, DType::u8>>(work).run();
    case DType::boolean: return Kernel<Reduction<kOp, DType::boolean>>(work).run();
  }
}

// Defined in reduce_kernels_{sum,prod,extremes}.cc.
extern template void run_for_type<ReduceOp::sum>(const ReduceWork&);
extern template void run_for_type<ReduceOp::mean>(const ReduceWork&);
extern template void run_for_type<ReduceOp::prod>(const ReduceWork&);
extern template void run_for_type<ReduceOp::min>(const ReduceWork&);
extern template void run_for_type<ReduceOp::max>(const ReduceWork&);

}  // namespace millrace::host
