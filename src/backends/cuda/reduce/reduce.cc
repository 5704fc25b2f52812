#include "backends/cuda/reduce/reduce.h"

#include <string>

#include "backends/cuda/reduce/kernels.h"
#include "backends/cuda/reduce/plan.h"

namespace millrace::cuda {
namespace {

ReduceKernels kernels_for(const ReducePlan& plan) noexcept {
  if (plan.statistics) return statistics_kernels(plan.dtype);
  switch (plan.op) {
    case ReduceOp::norm: return norm_kernels(plan.dtype);
    case ReduceOp::prod: return prod_kernels(plan.dtype);
    case ReduceOp::min:
    case ReduceOp::max: return extreme_kernels(plan.op, plan.dtype);
    case ReduceOp::argmin:
    case ReduceOp::argmax: return position_kernels(plan.op, plan.dtype);
    case ReduceOp::var:
    case ReduceOp::std: return moments_kernels(plan.dtype);
    case ReduceOp::any:
    case ReduceOp::all:
    case ReduceOp::count_zero:
    case ReduceOp::count_nan:
    case ReduceOp::count_inf: return logic_kernels(plan.op, plan.dtype);
    case ReduceOp::sum:
    case ReduceOp::mean: break;
  }
  return sum_kernels(plan.op, plan.dtype);
}

/// What the blocks of splits leave; a multiple of 8.
std::size_t accumulator_bytes(const ReducePlan& plan, const ReduceKernels& kernels) noexcept {
  if (plan.regime == Regime::whole) return 0;
  return static_cast<std::size_t>(plan.tiles * plan.splits) * static_cast<std::size_t>(plan.tile_outputs()) *
         ((kernels.accumulator_bytes + 7) / 8 * 8);
}

std::size_t ticket_bytes(const ReducePlan& plan) noexcept {
  if (plan.regime == Regime::whole) return static_cast<std::size_t>(plan.splits) * kWholeSlotBytes;
  return static_cast<std::size_t>(plan.tiles) * sizeof(unsigned);
}

}  // namespace

std::size_t reduce_scratch_bytes(const ReduceWork& work) noexcept {
  if (work.kept_count == 0) return 0;
  const ReducePlan plan = plan_reduce(work);
  if (plan.splits == 1) return 0;
  return accumulator_bytes(plan, kernels_for(plan)) + ticket_bytes(plan);
}

Status launch_reduce(const ReduceWork& work, void* scratch, unsigned* tickets, cudaStream_t stream) {
  if (work.kept_count == 0) return {};
  const ReducePlan plan = plan_reduce(work);
  const ReduceKernels kernels = kernels_for(plan);
  cudaError_t error = cudaSuccess;
  if (plan.splits > 1 && tickets == nullptr) {
    tickets = reinterpret_cast<unsigned*>(static_cast<char*>(scratch) + accumulator_bytes(plan, kernels));
    error = cudaMemsetAsync(tickets, 0, ticket_bytes(plan), stream);
  }
  if (error == cudaSuccess) error = kernels.launch(plan, scratch, tickets, stream);
  if (error == cudaSuccess) return {};
  const std::string what = work.statistics ? "statistics" : to_string(work.op);
  return Status(ErrorCode::WorkFailed,
                what + " of " + std::to_string(plan.reduced_count) + " " +
                    std::string(to_string(plan.dtype)) + " elements for each of " +
                    std::to_string(plan.kept_count) + " results: CUDA refused the launch with " +
                    cudaGetErrorName(error) + " (" + cudaGetErrorString(error) +
                    "); errors of earlier work on the device are reported here too, so look there first");
}

}  // namespace millrace::cuda
