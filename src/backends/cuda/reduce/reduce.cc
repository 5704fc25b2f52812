#include "backends/cuda/reduce/reduce.h"

#include <string>

#include "backends/cuda/driver.h"
#include "backends/cuda/reduce/kernels.h"
#include "backends/cuda/reduce/launch.h"
#include "backends/cuda/reduce/plan.h"

namespace millrace::cuda {

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

std::size_t accumulator_bytes(const ReducePlan& plan, const ReduceKernels& kernels) noexcept {
  if (plan.regime == Regime::whole) return 0;
  return static_cast<std::size_t>(plan.tiles * plan.splits) * static_cast<std::size_t>(plan.tile_outputs()) *
         ((kernels.accumulator_bytes + 7) / 8 * 8);
}

namespace {

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
  if (plan.splits > 1 && tickets == nullptr) {
    tickets =
        reinterpret_cast<unsigned*>(static_cast<char*>(scratch) + accumulator_bytes(plan, kernels_for(plan)));
    const CUresult cleared =
        driver().fill(reinterpret_cast<CUdeviceptr>(tickets), 0, ticket_bytes(plan), stream);
    if (cleared != CUDA_SUCCESS) return launch_failure(work, 1, static_cast<cudaError_t>(cleared));
  }
  const PackItem item{work.input, work.output, scratch, tickets};
  const cudaError_t error = launch_items(plan, {&item, 1}, stream);
  return error == cudaSuccess ? Status() : launch_failure(work, 1, error);
}

Status launch_failure(const ReduceWork& work, std::size_t count, cudaError_t error) {
  const std::string what = work.statistics ? "statistics" : to_string(work.op);
  return Status(
      ErrorCode::WorkFailed,
      what + " of " + std::to_string(work.reduced_count) + " " + std::string(to_string(work.input_dtype)) +
          " elements for each of " + std::to_string(work.kept_count) + " results" +
          (count == 1 ? std::string() : ", " + std::to_string(count) + " of them in one launch") +
          ": CUDA refused the launch with " + cudaGetErrorName(error) + " (" + cudaGetErrorString(error) +
          "); errors of earlier work on the device are reported here too, so look there first");
}

}  // namespace millrace::cuda
