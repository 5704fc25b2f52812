// Statistics: everything in one pass.
#include <cstdint>

#include "backends/cuda/reduce/block.cuh"
#include "backends/cuda/reduce/element.cuh"
#include "backends/cuda/reduce/spread.cuh"
#include "backends/cuda/reduce/sums.cuh"

namespace millrace::cuda {
namespace {

/// Sums and extremes are over finite values; moments.count of them there are.
struct Found {
  std::int64_t count, nan, inf, zeros;
  CompensatedSum sum;
  Moments moments;
  double min, max;
};

__device__ Found found_nothing() {
  return {0, 0, 0, 0, {0, 0}, {0, 0, 0}, infinity(), -infinity()};
}

template <DType kType>
struct StatisticsFold {
  using Stored = typename Element<kType>::Stored;
  using Accumulator = Found;
  static constexpr bool kMayOverflow = kType == DType::f64;

  struct Running {
    RunningMoments moments;
    CompensatedSum sum = {0, 0};  ///< but of the last few
    double last = 0;
    double min = infinity();
    double max = -infinity();
    std::int64_t count = 0, nan = 0, inf = 0, zeros = 0;
  };

  static __device__ Found nothing() { return found_nothing(); }

  static __device__ void add(Running& running, Stored stored, std::int64_t /*position*/) {
    const double value = as_double<kType>(stored);
    ++running.count;
    if (kIsFloating<kType> && !is_finite(value)) {
      if (is_nan(value)) {
        ++running.nan;
      } else {
        ++running.inf;
      }
      return;
    }
    running.zeros += value == 0 ? 1 : 0;
    running.last += value;
    running.min = value < running.min ? value : running.min;
    running.max = value > running.max ? value : running.max;
    running.moments.template add<kMayOverflow>(value);
  }
  static __device__ void settle(Running& running) {
    running.sum.add(running.last);
    running.last = 0;
    running.moments.template settle<kMayOverflow>();
  }
  static __device__ Found total(Running& running) {
    running.moments.template flush<kMayOverflow>();
    return {running.count, running.nan,         running.inf, running.zeros,
            running.sum,   running.moments.all, running.min, running.max};
  }
  static __device__ void merge(Found& a, const Found& b) {
    a.count += b.count;
    a.nan += b.nan;
    a.inf += b.inf;
    a.zeros += b.zeros;
    a.sum.add(b.sum);
    merge_moments(a.moments, b.moments);
    a.min = b.min < a.min ? b.min : a.min;
    a.max = b.max > a.max ? b.max : a.max;
  }

  static __device__ void finish(const ReducePlan& plan, const Found& found, std::int64_t at) {
    Statistics& result = static_cast<Statistics*>(plan.output)[at];
    result.count = found.count;
    result.nan = found.nan;
    result.inf = found.inf;
    result.zeros = found.zeros;
    const double sum = found.sum.value();
    result.sum = sum;
    // That of the moments has gone through many divisions, but it is there where doubles don't hold the sum.
    const bool divides = found.moments.count != 0 && is_finite(sum);
    result.mean = divides ? sum / found.moments.count : found.moments.mean;
    result.m2 = found.moments.m2;
    result.min = found.min;
    result.max = found.max;
    result.absmax = found.moments.count == 0 ? 0 : fmax(fabs(found.min), fabs(found.max));
  }
};

}  // namespace

ReduceKernels statistics_kernels(DType dtype) noexcept {
  return kernels_of<StatisticsFold>(dtype);
}

}  // namespace millrace::cuda
