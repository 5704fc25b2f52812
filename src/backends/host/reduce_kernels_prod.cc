#include "backends/host/reduce_kernels_loops.h"

namespace millrace::host {

template void run_for_type<ReduceOp::prod>(const ReduceWork&);

}  // namespace millrace::host
