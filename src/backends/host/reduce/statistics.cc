// Statistics: everything in one pass.
#include "backends/host/reduce/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/host/reduce/statistics.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include <millrace/reduction.h>

#include "backends/host/reduce/dispatch.h"
#include "backends/host/reduce/reducer.h"
#include "backends/host/reduce/scan-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::host::HWY_NAMESPACE {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Statistics nothing() {
  Statistics result;
  result.min = kInfinity;
  result.max = -kInfinity;
  return result;
}

/// Of 0 < n finite values.
Statistics of_finite(const Scan& scan, std::int64_t n) {
  Statistics result;
  result.count = n;
  result.zeros = scan.zeros;
  result.sum = scan.total(n);
  result.mean = scan.mean(n);
  result.m2 = scan.m2(n);
  result.min = scan.min;
  result.max = scan.max;
  result.absmax = std::max(std::abs(result.min), std::abs(result.max));
  return result;
}

template <DType kType>
class StatisticsLoops {
  using Stored = typename Element<kType>::Stored;

  // Summed in double, so that longer chains do no harm; merging costs a division.
  static constexpr std::int64_t kGroup = 256;

  static double value_of(Stored stored) { return static_cast<double>(Element<kType>::load(stored)); }

  /// With values that are not finite, or whose squares float does not hold.
  static Statistics careful(const Stored* from, std::int64_t n) {
    double finite[kRun];
    std::int64_t kept = 0;
    std::int64_t nan = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      const double value = value_of(from[i]);
      finite[kept] = value;
      kept += std::isfinite(value) ? 1 : 0;
      nan += std::isnan(value) ? 1 : 0;
    }
    Statistics result = nothing();
    if (kept > 0) {
      const Scan exact = scan<DType::f64>(finite, kept);
      result = of_finite(exact, kept);
      if (!exact.is_good()) result.m2 = kInfinity;  // squares that double does not hold
    }
    result.count = n;
    result.nan = nan;
    result.inf = n - kept - nan;
    return result;
  }

#if MILLRACE_HAS_VECTORS
  using D = hn::ScalableTag<double>;
  using V = hn::Vec<D>;

  static HWY_INLINE V load(D d, const Stored* from) {
    if constexpr (kType == DType::f64) {
      return hn::LoadU(d, from);
    } else {
      return hn::PromoteTo(d, load_vector<kType>(hn::Rebind<float, D>(), from));
    }
  }

  /// Each lane a column. Twice over the rows, of which the second time the cache has what it holds.
  static void vector_of_columns(const Stored* from, std::int64_t count, std::int64_t stride, Statistics* to) {
    const D d;
    const V zero = hn::Zero(d), one = hn::Set(d, 1.0), infinity = hn::Set(d, kInfinity);
    V finite = zero, nans = zero, zeros = zero, sum = zero, low = infinity, high = hn::Neg(infinity);
    for (std::int64_t row = 0; row < count; ++row) {
      const V v = load(d, from + row * stride);
      const auto is_finite = hn::Lt(hn::Abs(v), infinity);
      finite = hn::Add(finite, hn::IfThenElseZero(is_finite, one));
      nans = hn::Add(nans, hn::IfThenElseZero(hn::IsNaN(v), one));
      zeros = hn::Add(zeros, hn::IfThenElseZero(hn::Eq(v, zero), one));
      sum = hn::Add(sum, hn::IfThenElseZero(is_finite, v));
      low = hn::Min(low, hn::IfThenElse(is_finite, v, infinity));
      high = hn::Max(high, hn::IfThenElse(is_finite, v, hn::Neg(infinity)));
    }
    const V mean = hn::Div(sum, hn::Max(finite, one));
    V m2 = zero;
    for (std::int64_t row = 0; row < count; ++row) {
      const V v = load(d, from + row * stride);
      const V distance = hn::IfThenElseZero(hn::Lt(hn::Abs(v), infinity), hn::Sub(v, mean));
      m2 = hn::MulAdd(distance, distance, m2);
    }
    HWY_ALIGN double lanes[8][hn::MaxLanes(D())];
    int i = 0;
    for (const V v : {finite, nans, zeros, sum, mean, m2, low, high}) hn::Store(v, d, lanes[i++]);
    for (std::size_t c = 0; c < hn::Lanes(d); ++c) {
      Statistics& result = to[c] = nothing();
      result.count = count;
      result.nan = static_cast<std::int64_t>(lanes[1][c]);
      result.inf = count - static_cast<std::int64_t>(lanes[0][c]) - result.nan;
      result.zeros = static_cast<std::int64_t>(lanes[2][c]);
      if (lanes[0][c] == 0) continue;
      result.sum = lanes[3][c];
      result.mean = lanes[4][c];
      result.m2 = lanes[5][c];
      result.min = lanes[6][c];
      result.max = lanes[7][c];
      result.absmax = std::max(std::abs(result.min), std::abs(result.max));
    }
  }
#endif

  static Statistics of(const Scan& quick, const Stored* from, std::int64_t n) {
    return quick.is_good() ? of_finite(quick, n) : careful(from, n);
  }

 public:
  static void run(const void* elements, std::int64_t n, void* accumulator) {
    const auto* from = static_cast<const Stored*>(elements);
    *static_cast<Statistics*>(accumulator) = of(scan<kType>(from, n), from, n);
  }

  static void rows(const void* elements, std::int64_t columns, std::int64_t count, std::int64_t stride,
                   void* accumulators) {
    const auto* from = static_cast<const Stored*>(elements);
    auto* to = static_cast<Statistics*>(accumulators);
    std::int64_t c = 0;
#if MILLRACE_HAS_VECTORS
    if constexpr (is_floating(kType)) {
      const auto lanes = static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<double>()));
      for (; c + lanes <= columns; c += lanes) vector_of_columns(from + c, count, stride, to + c);
    }
#endif
    Stored column[kGroup] = {};
    for (; c < columns; ++c) {
      for (std::int64_t row = 0; row < count; ++row) column[row] = from[row * stride + c];
      run(column, count, to + c);
    }
  }

  static void merge(void* into, const void* from, std::int64_t count) {
    auto* a = static_cast<Statistics*>(into);
    const auto* b = static_cast<const Statistics*>(from);
    for (std::int64_t i = 0; i < count; ++i) a[i] = combine(a[i], b[i]);
  }

  static void clear(void* accumulator) {
    *static_cast<Statistics*>(accumulator) = nothing();
  }

  static void finish(const void* accumulators, std::int64_t count, void* results, std::int64_t stride,
                     const ReduceWork& /*work*/) {
    const auto* from = static_cast<const Statistics*>(accumulators);
    auto* to = static_cast<Statistics*>(results);
    for (std::int64_t i = 0; i < count; ++i) to[i * stride] = from[i];
  }

  static constexpr Reducer kTable{
      .element_bytes = sizeof(Stored),
      .accumulator_bytes = sizeof(Statistics),
      .result_bytes = sizeof(Statistics),
      .run_bytes = kTwoPages,
      .group = kGroup,
      .run = &run,
      .four_runs = four_runs_of<kType, Statistics, &of>(),
      .runs = &runs_one_by_one<Stored, Statistics, &run>,
      .rows = &rows,
      .merge = &merge,
      .shift = nullptr,
      .clear = &clear,
      .finish = &finish,
  };
};

}  // namespace

const Reducer* statistics_table(DType dtype) {
  return for_type(dtype, []<DType kType>() -> const Reducer* { return &StatisticsLoops<kType>::kTable; });
}

}  // namespace millrace::host::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::host {
HWY_EXPORT(statistics_table);
const Reducer& statistics_reducer(DType dtype) noexcept {
  return *HWY_DYNAMIC_DISPATCH(statistics_table)(dtype);
}
}  // namespace millrace::host
#endif
