// var and std.
#include <cstdint>

#include "backends/cuda/reduce/block.cuh"
#include "backends/cuda/reduce/element.cuh"
#include "backends/cuda/reduce/spread.cuh"

namespace millrace::cuda {
namespace {

template <DType kType>
struct MomentsFold {
  using Stored = typename Element<kType>::Stored;
  using Running = RunningMoments;
  using Accumulator = Moments;
  static constexpr bool kMayOverflow = kType == DType::f64;

  static __device__ Moments nothing() { return {0, 0, 0}; }
  static __device__ void add(Running& running, Stored stored, std::int64_t /*position*/) {
    running.add<kMayOverflow>(as_double<kType>(stored));
  }
  static __device__ void settle(Running& running) { running.settle<kMayOverflow>(); }
  static __device__ Moments total(Running& running) {
    running.flush<kMayOverflow>();
    return running.all;
  }
  static __device__ void merge(Moments& a, const Moments& b) { merge_moments(a, b); }

  static __device__ void finish(const ReducePlan& plan, const Moments& moments, std::int64_t at) {
    const double least = moments.count - plan.correction;
    double value = moments.count == 0 ? not_a_number() : moments.m2 / (least > 0 ? least : 0);
    if (plan.op == ReduceOp::std) value = sqrt(value);
    static_cast<typename FloatingResult<kType>::Type*>(plan.output)[at] = FloatingResult<kType>::of(value);
  }
};

}  // namespace

ReduceKernels moments_kernels(DType dtype) noexcept {
  return kernels_of<MomentsFold>(dtype);
}

}  // namespace millrace::cuda
