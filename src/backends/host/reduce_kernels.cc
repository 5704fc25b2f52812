#include "backends/host/reduce_kernels.h"

#include "backends/host/reduce_kernels_loops.h"

namespace millrace::host {

void run_reduce(const ReduceWork& work) {
  if (work.kept_count == 0) return;
  switch (work.op) {
    case ReduceOp::sum: return run_for_type<ReduceOp::sum>(work);
    case ReduceOp::mean: return run_for_type<ReduceOp::mean>(work);
    case ReduceOp::prod: return run_for_type<ReduceOp::prod>(work);
    case ReduceOp::min: return run_for_type<ReduceOp::min>(work);
    case ReduceOp::max: return run_for_type<ReduceOp::max>(work);
  }
}

}  // namespace millrace::host
