#include "backends/host/reduce_kernels_loops.h"

namespace millrace::host {

template void run_for_type<ReduceOp::sum>(const ReduceWork&);
template void run_for_type<ReduceOp::mean>(const ReduceWork&);

}  // namespace millrace::host
