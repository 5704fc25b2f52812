// Statistics: everything in one pass.
#include <cstdint>
#include <type_traits>

#include "backends/cuda/reduce/element.cuh"
#include "backends/cuda/reduce/fold.cuh"
#include "backends/cuda/reduce/half_statistics.cuh"
#include "backends/cuda/reduce/load.cuh"
#include "backends/cuda/reduce/order.cuh"
#include "backends/cuda/reduce/powers.cuh"
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

/// What all types do alike.
struct StatisticsBase {
  using Accumulator = Found;
  static constexpr bool kHasPosition = false;
  static constexpr bool kHasLanes = false;

  static __device__ Found nothing() { return {0, 0, 0, 0, {0, 0}, {0, 0, 0}, infinity(), -infinity()}; }
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

  static __device__ void finish(const ReducePlan& plan, const Found& found, const Place& place) {
    Statistics& result = static_cast<Statistics*>(plan.output)[place.output];
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

template <DType kType>
struct PlainStatistics : StatisticsBase {
  static constexpr DType kDType = kType;
  using Value = typename Element<kType>::Value;
  using Least = Order<kType, true>;
  using Largest = Order<kType, false>;
  static constexpr bool kMayOverflow = kType == DType::f64;

  struct Running {
    RunningMoments moments;
    CompensatedSum sum = {0, 0};  ///< but of the last few
    double last = 0;
    Value min = Least::kWorst;
    Value max = Largest::kWorst;
    std::int64_t count = 0;
    std::int64_t nan = 0, inf = 0, zeros = 0;
  };

  static __device__ void add(Running& running, Value value, std::int64_t /*position*/) {
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
    running.min = Least::better(running.min, value);
    running.max = Largest::better(running.max, value);
    running.moments.begin(static_cast<double>(value));
    add_finite(running, value);
  }

  /// Mostly there is nothing to count.
  static __device__ void add_vector(Running& running, const Vector<kType>& vector,
                                    std::int64_t position) requires(has_tuned_kernels(kType)) {
    const Value min = Least::best_of(vector), max = Largest::best_of(vector);
    // NaN comes out of both, and infinities out of one.
    if (!is_finite(min) || !is_finite(max) || has_zero(vector)) {
      return add_one_by_one<PlainStatistics>(running, vector, position, 1, 0, Vector<kType>::kElements);
    }
    running.count += Vector<kType>::kElements;
    running.min = Least::better(running.min, min);
    running.max = Largest::better(running.max, max);
    running.moments.begin(static_cast<double>(vector[0]));
#pragma unroll
    for (int i = 0; i < Vector<kType>::kElements; ++i) add_finite(running, vector[i]);
  }

  static __device__ void settle(Running& running) {
    running.sum.add(running.last);
    running.last = 0;
    running.moments.template settle<kMayOverflow>();
  }
  static __device__ Found total(Running& running) {
    running.moments.template flush<kMayOverflow>();
    Found found{running.count, running.nan,         running.inf, running.zeros,
                running.sum,   running.moments.all, infinity(),  -infinity()};
    if (found.moments.count != 0) {
      found.min = static_cast<double>(running.min);
      found.max = static_cast<double>(running.max);
    }
    return found;
  }

 private:
  static __device__ void add_finite(Running& running, Value value) {
    running.last += static_cast<double>(value);
    running.moments.template add<kMayOverflow>(static_cast<double>(value));
  }
  static __device__ bool has_zero(const Vector<kType>& vector) {
    return by_halves<kType, bool>(
        vector, [](Value value) { return value == 0; }, [](bool a, bool b) { return a || b; });
  }
};

/// f16 and bf16, by means that take fewer operations an element.
template <DType kType>
struct HalfStatistics : StatisticsBase {
  static constexpr DType kDType = kType;
  using Value = typename Element<kType>::Value;

  struct Running {
    HalfPowers powers;
    HalfExtremes<kType> extremes;
    std::int64_t finite = 0;
    std::int64_t nan = 0, inf = 0;
  };

  static __device__ void add(Running& running, Value value, std::int64_t /*position*/) {
    if (!is_finite(value)) {
      if (is_nan(value)) {
        ++running.nan;
      } else {
        ++running.inf;
      }
      return;
    }
    ++running.finite;
    running.extremes.add(value);
    running.powers.add(static_cast<double>(value));
  }
  static __device__ void add_vector(Running& running, const Vector<kType>& vector, std::int64_t position) {
    if (!running.extremes.add(vector)) {
      return add_one_by_one<HalfStatistics>(running, vector, position, 1, 0, Vector<kType>::kElements);
    }
    running.finite += Vector<kType>::kElements;
    running.powers.add(vector);
  }
  static __device__ void settle(Running& running) {
    running.powers.settle();
    running.extremes.settle();
  }
  static __device__ Found total(Running& running) {
    const std::int64_t count = running.finite + running.nan + running.inf;
    Found found{count,
                running.nan,
                running.inf,
                running.extremes.zeros(),
                running.powers.sum,
                running.powers.moments(running.finite),
                infinity(),
                -infinity()};
    if (running.finite != 0) {
      found.min = static_cast<double>(running.extremes.least());
      found.max = static_cast<double>(running.extremes.largest());
    }
    return found;
  }
};

template <DType kType>
using StatisticsFold = std::conditional_t<kIsHalf<kType>, HalfStatistics<kType>, PlainStatistics<kType>>;

}  // namespace

ReduceKernels statistics_kernels(DType dtype) noexcept {
  return kernels_of<StatisticsFold>(dtype);
}

}  // namespace millrace::cuda
