// var and std.
#include <cstdint>
#include <type_traits>

#include "backends/cuda/reduce/element.cuh"
#include "backends/cuda/reduce/fold.cuh"
#include "backends/cuda/reduce/powers.cuh"
#include "backends/cuda/reduce/spread.cuh"

namespace millrace::cuda {
namespace {

/// What all types do alike.
template <DType kType>
struct MomentsBase {
  static constexpr DType kDType = kType;
  using Accumulator = Moments;
  static constexpr bool kHasPosition = false;
  static constexpr bool kHasLanes = false;

  static __device__ Moments nothing() { return {0, 0, 0}; }
  static __device__ void merge(Moments& a, const Moments& b) { merge_moments(a, b); }

  static __device__ void finish(const ReducePlan& plan, const Moments& moments, const Place& place) {
    const double least = moments.count - plan.correction;
    double value = moments.count == 0 ? not_a_number() : moments.m2 / (least > 0 ? least : 0);
    if (plan.op == ReduceOp::std) value = sqrt(value);
    static_cast<typename FloatingResult<kType>::Type*>(plan.output)[place.output] =
        FloatingResult<kType>::of(value);
  }
};

template <DType kType>
struct PlainMoments : MomentsBase<kType> {
  using Running = RunningMoments;
  static constexpr bool kMayOverflow = kType == DType::f64;

  static __device__ void add(Running& running, typename Element<kType>::Value value,
                             std::int64_t /*position*/) {
    running.begin(static_cast<double>(value));
    running.add<kMayOverflow>(static_cast<double>(value));
  }
  static __device__ void add_vector(Running& running, const Vector<kType>& vector,
                                    std::int64_t /*position*/) {
    running.begin(static_cast<double>(vector[0]));
#pragma unroll
    for (int i = 0; i < Vector<kType>::kElements; ++i) {
      running.add<kMayOverflow>(static_cast<double>(vector[i]));
    }
  }
  static __device__ void settle(Running& running) {
    running.settle<kMayOverflow>();
  }
  static __device__ Moments total(Running& running) {
    running.flush<kMayOverflow>();
    return running.all;
  }
};

/// f16 and bf16.
template <DType kType>
struct HalfMoments : MomentsBase<kType> {
  struct Running {
    HalfPowers powers;
    std::int64_t count = 0;
  };

  static __device__ void add(Running& running, typename Element<kType>::Value value,
                             std::int64_t /*position*/) {
    ++running.count;
    running.powers.add(static_cast<double>(value));
  }
  static __device__ void add_vector(Running& running, const Vector<kType>& vector,
                                    std::int64_t /*position*/) {
    running.count += Vector<kType>::kElements;
    running.powers.add(vector);
  }
  static __device__ void settle(Running& running) { running.powers.settle(); }
  static __device__ Moments total(Running& running) { return running.powers.moments(running.count); }
};

template <DType kType>
using MomentsFold = std::conditional_t<kIsHalf<kType>, HalfMoments<kType>, PlainMoments<kType>>;

}  // namespace

ReduceKernels moments_kernels(DType dtype) noexcept {
  return kernels_of<MomentsFold>(dtype);
}

}  // namespace millrace::cuda
