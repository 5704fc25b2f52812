// Statistics: everything in one pass.
#include "backends/host/reduce/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/host/reduce/statistics.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <array>
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

  static constexpr std::int64_t kTile = kTileBytes / static_cast<std::int64_t>(sizeof(Statistics));
  template <typename T>
  using Row = std::array<T, static_cast<std::size_t>(kTile)>;

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
    Statistics result = kept > 0 ? of_finite(scan<DType::f64>(finite, kept), kept) : nothing();
    result.count = n;
    result.nan = nan;
    result.inf = n - kept - nan;
    return result;
  }

 public:
  static void run(const void* elements, std::int64_t n, void* accumulator) {
    const auto* from = static_cast<const Stored*>(elements);
    const Scan quick = scan<kType>(from, n);
    *static_cast<Statistics*>(accumulator) = quick.is_good() ? of_finite(quick, n) : careful(from, n);
  }

  static void runs(const void* elements, std::int64_t count, std::int64_t n, std::int64_t stride,
                   void* accumulators) {
    const auto* from = static_cast<const Stored*>(elements);
    auto* to = static_cast<Statistics*>(accumulators);
    for (std::int64_t i = 0; i < count; ++i) run(from + i * stride, n, to + i);
  }

  // Twice over the rows, of which the second time the cache has what it holds.
  static void rows(const void* elements, std::int64_t columns, std::int64_t count, std::int64_t stride,
                   void* accumulators) {
    const auto* HWY_RESTRICT from = static_cast<const Stored*>(elements);
    Row<double> sums{}, m2s{}, means{}, lows, highs;
    Row<std::int64_t> finite{}, nans{}, zeros{};
    lows.fill(kInfinity);
    highs.fill(-kInfinity);
    const auto width = static_cast<std::size_t>(columns);
    for (std::int64_t row = 0; row < count; ++row) {
      for (std::size_t c = 0; c < width; ++c) {
        const double value = value_of(from[row * stride + static_cast<std::int64_t>(c)]);
        const bool is_finite = value - value == 0;
        finite[c] += is_finite ? 1 : 0;
        nans[c] += value != value ? 1 : 0;
        zeros[c] += value == 0 ? 1 : 0;
        sums[c] += is_finite ? value : 0;
        lows[c] = std::min(lows[c], is_finite ? value : kInfinity);
        highs[c] = std::max(highs[c], is_finite ? value : -kInfinity);
      }
    }
    for (std::size_t c = 0; c < width; ++c) {
      means[c] = finite[c] == 0 ? 0 : sums[c] / static_cast<double>(finite[c]);
    }
    for (std::int64_t row = 0; row < count; ++row) {
      for (std::size_t c = 0; c < width; ++c) {
        const double value = value_of(from[row * stride + static_cast<std::int64_t>(c)]);
        const double distance = value - value == 0 ? value - means[c] : 0;
        m2s[c] += distance * distance;
      }
    }
    auto* to = static_cast<Statistics*>(accumulators);
    for (std::size_t c = 0; c < width; ++c) {
      Statistics& result = to[c] = nothing();
      result.count = count;
      result.nan = nans[c];
      result.inf = count - finite[c] - nans[c];
      result.zeros = zeros[c];
      if (finite[c] == 0) continue;
      result.sum = sums[c];
      result.mean = means[c];
      result.m2 = m2s[c];
      result.min = lows[c];
      result.max = highs[c];
      result.absmax = std::max(std::abs(lows[c]), std::abs(highs[c]));
    }
  }

  static void merge(void* into, const void* from, std::int64_t count) {
    auto* a = static_cast<Statistics*>(into);
    const auto* b = static_cast<const Statistics*>(from);
    for (std::int64_t i = 0; i < count; ++i) a[i] = combine(a[i], b[i]);
  }

  static void clear(void* accumulator) { *static_cast<Statistics*>(accumulator) = nothing(); }

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
      .run = &run,
      .runs = &runs,
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
