#include "backends/host/reduce/reducer.h"

namespace millrace::host {

const Reducer& reducer_of(const ReduceWork& work) noexcept {
  if (work.statistics) return statistics_reducer(work.input_dtype);
  switch (work.op) {
    case ReduceOp::prod: return prod_reducer(work.input_dtype);
    case ReduceOp::min:
    case ReduceOp::max: return extreme_reducer(work.op, work.input_dtype);
    case ReduceOp::argmin:
    case ReduceOp::argmax: return position_reducer(work.op, work.input_dtype);
    case ReduceOp::var:
    case ReduceOp::std: return moments_reducer(work.op, work.input_dtype);
    case ReduceOp::any:
    case ReduceOp::all:
    case ReduceOp::count_zero:
    case ReduceOp::count_nan:
    case ReduceOp::count_inf: return logic_reducer(work.op, work.input_dtype);
    case ReduceOp::sum:
    case ReduceOp::mean:
    case ReduceOp::norm: break;
  }
  return sum_reducer(work.op, work.input_dtype);
}

}  // namespace millrace::host
