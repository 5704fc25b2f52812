#include "backends/host/reduce_kernels_loops.h"

namespace millrace::host {

template void run_for_type<ReduceOp::min>(const ReduceWork&);
template void run_for_type<ReduceOp::max>(const ReduceWork&);

}  // namespace millrace::host
