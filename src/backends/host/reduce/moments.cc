// var and std.
#include "backends/host/reduce/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/host/reduce/moments.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "backends/host/reduce/dispatch.h"
#include "backends/host/reduce/reducer.h"
#include "backends/host/reduce/scan-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::host::HWY_NAMESPACE {
namespace {

struct Moments {
  double count;
  double mean;
  double m2;  // squared distances from the mean
};

template <DType kType, bool kIsStd>
class MomentLoops {
  using Stored = typename Element<kType>::Stored;
  using Result = std::conditional_t<is_floating(kType), Stored, double>;

  // Summed in double, so that longer chains do no harm; merging costs a division.
  static constexpr std::int64_t kGroup = 256;
  static constexpr std::int64_t kTile = kTileBytes / static_cast<std::int64_t>(sizeof(Moments));

  static Moments of(const Scan& quick, const Stored* from, std::int64_t n) {
    if (quick.is_good()) return {static_cast<double>(n), quick.mean(n), quick.m2(n)};
    return careful(from, n);
  }

  /// With values that float's squares do not hold, or that are not finite.
  static Moments careful(const Stored* from, std::int64_t n) {
    double values[kRun] = {};
    double sum = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      values[i] = static_cast<double>(Element<kType>::load(from[i]));
      sum += values[i];
    }
    const Scan exact = scan<DType::f64>(values, n);
    if (exact.is_good()) return {static_cast<double>(n), exact.mean(n), exact.m2(n)};
    // NaN, infinities, or squares that doubles don't hold.
    const bool overflow = std::isfinite(sum);
    return {static_cast<double>(n), sum / static_cast<double>(n),
            overflow ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN()};
  }

 public:
  static void run(const void* elements, std::int64_t n, void* accumulator) {
    const auto* from = static_cast<const Stored*>(elements);
    *static_cast<Moments*>(accumulator) = of(scan<kType>(from, n), from, n);
  }

  // Twice over the rows, of which the second time the cache has what it holds.
  static void rows(const void* elements, std::int64_t columns, std::int64_t count, std::int64_t stride,
                   void* accumulators) {
    const auto* HWY_RESTRICT from = static_cast<const Stored*>(elements);
    std::array<double, static_cast<std::size_t>(kTile)> sums{};
    std::array<double, static_cast<std::size_t>(kTile)> squares{};
    double* const HWY_RESTRICT means = sums.data();
    double* const HWY_RESTRICT m2s = squares.data();
    for (std::int64_t row = 0; row < count; ++row) {
      for (std::int64_t c = 0; c < columns; ++c) {
        means[c] += static_cast<double>(Element<kType>::load(from[row * stride + c]));
      }
    }
    for (std::int64_t c = 0; c < columns; ++c) means[c] /= static_cast<double>(count);
    for (std::int64_t row = 0; row < count; ++row) {
      for (std::int64_t c = 0; c < columns; ++c) {
        const double distance = static_cast<double>(Element<kType>::load(from[row * stride + c])) - means[c];
        m2s[c] += distance * distance;
      }
    }
    auto* to = static_cast<Moments*>(accumulators);
    for (std::int64_t c = 0; c < columns; ++c) to[c] = {static_cast<double>(count), means[c], m2s[c]};
  }

  static void merge(void* into, const void* from, std::int64_t count) {
    auto* a = static_cast<Moments*>(into);
    const auto* b = static_cast<const Moments*>(from);
    for (std::int64_t i = 0; i < count; ++i) {
      // Chan, Golub and LeVeque: the parts' own squares plus what the distance of their means adds.
      const double both = a[i].count + b[i].count;
      const double distance = b[i].mean - a[i].mean;
      const double part = b[i].count / both;
      a[i].mean += distance * part;
      a[i].m2 += b[i].m2 + distance * distance * part * a[i].count;
      a[i].count = both;
    }
  }

  static void clear(void* accumulator) { *static_cast<Moments*>(accumulator) = {}; }

  static void finish(const void* accumulators, std::int64_t count, void* results, std::int64_t stride,
                     const ReduceWork& work) {
    const auto* from = static_cast<const Moments*>(accumulators);
    auto* to = static_cast<Result*>(results);
    for (std::int64_t i = 0; i < count; ++i) {
      const double over = std::max(from[i].count - work.correction, 0.0);
      double value = from[i].count == 0 ? std::numeric_limits<double>::quiet_NaN() : from[i].m2 / over;
      if (kIsStd) value = std::sqrt(value);
      if constexpr (is_floating(kType)) {
        to[i * stride] = Element<kType>::store(static_cast<typename Element<kType>::Value>(value));
      } else {
        to[i * stride] = value;
      }
    }
  }

  static constexpr Reducer kTable{
      .element_bytes = sizeof(Stored),
      .accumulator_bytes = sizeof(Moments),
      .result_bytes = sizeof(Result),
      .run_bytes = kTwoPages,
      .group = kGroup,
      .run = &run,
      .four_runs = four_runs_of<kType, Moments, &of>(),
      .runs = &runs_one_by_one<Stored, Moments, &run>,
      .rows = &rows,
      .merge = &merge,
      .shift = nullptr,
      .clear = &clear,
      .finish = &finish,
  };
};

}  // namespace

const Reducer* moments_table(ReduceOp op, DType dtype) {
  return for_type(dtype, [op]<DType kType>() -> const Reducer* {
    return op == ReduceOp::std ? &MomentLoops<kType, true>::kTable : &MomentLoops<kType, false>::kTable;
  });
}

}  // namespace millrace::host::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::host {
HWY_EXPORT(moments_table);
const Reducer& moments_reducer(ReduceOp op, DType dtype) noexcept {
  return *HWY_DYNAMIC_DISPATCH(moments_table)(op, dtype);
}
}  // namespace millrace::host
#endif
