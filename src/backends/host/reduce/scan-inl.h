// Sums, squares, extremes and zeros of a block in one pass, compiled once for each instruction set.
#if defined(MILLRACE_HOST_REDUCE_SCAN_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef MILLRACE_HOST_REDUCE_SCAN_INL_H
#undef MILLRACE_HOST_REDUCE_SCAN_INL_H
#else
#define MILLRACE_HOST_REDUCE_SCAN_INL_H
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "backends/host/reduce/element.h"
#include "backends/host/reduce/load-inl.h"
#include "backends/host/reduce/reducer.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::host::HWY_NAMESPACE {

/// The sums are of distances from shift, which is close to the mean: squares of the values themselves would
/// cancel where the mean is large.
struct Scan {
  double shift = 0;
  double sum = 0;
  double squares = 0;
  double min = 0;
  double max = 0;
  std::int64_t zeros = 0;
  bool in_float = false;  ///< squares were made in float

  /// Nothing overflowed, no element was NaN or infinite, and no square fell below what float holds.
  bool is_good() const noexcept {
    if (!std::isfinite(sum) || !std::isfinite(squares)) return false;
    return !in_float || max == min || max - min > 1e-15;
  }
  double mean(std::int64_t n) const noexcept { return shift + sum / static_cast<double>(n); }
  double total(std::int64_t n) const noexcept { return shift * static_cast<double>(n) + sum; }
  /// The sum of squared distances from the mean.
  double m2(std::int64_t n) const noexcept {
    return std::max(squares - sum * (sum / static_cast<double>(n)), 0.0);
  }
};

/// A number close to the mean of some values, with so few digits that distances from it stay as exact as
/// their spread allows: those of small integers are integers.
template <typename T>
HWY_INLINE T shift_for(T a, T b, T c, T d) {
  const T mean = ((a + b) + (c + d)) / 4;
  const T range = std::max(std::max(a, b), std::max(c, d)) - std::min(std::min(a, b), std::min(c, d));
  if (!std::isfinite(mean) || !std::isfinite(range)) return 0;
  if (range == 0) return mean;
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  constexpr int kMantissa = std::numeric_limits<T>::digits - 1;
  // The power of two below.
  const T unit = std::bit_cast<T>(std::bit_cast<Bits>(range / 4) >> kMantissa << kMantissa);
  // To an integer, or to what is too large to have another digit.
  constexpr T kRound = T{3} * (std::uint64_t{1} << (kMantissa - 1));
  const T shift = ((mean / unit + kRound) - kRound) * unit;
  return unit > 0 && std::isfinite(shift) ? shift : mean;
}

/// A few elements of a block tell where its mean is about: it is off by a part of the spread. Close to its
/// beginning, since touching all of it would send the processor's reading ahead astray.
template <DType kType, typename T>
HWY_INLINE T shift_of(const typename Element<kType>::Stored* from, std::int64_t n) {
  const auto at = [&](std::int64_t i) { return static_cast<T>(Element<kType>::load(from[i])); };
  return shift_for(at(0), at(n / 32), at(n / 16), at(3 * n / 32));
}

#if !MILLRACE_HAS_VECTORS

/// Of 0 < n <= kRun elements.
template <DType kType>
Scan scan(const typename Element<kType>::Stored* HWY_RESTRICT from, std::int64_t n) {
  const auto load = [from](std::int64_t i) { return static_cast<double>(Element<kType>::load(from[i])); };
  Scan result;
  result.min = std::numeric_limits<double>::infinity();
  result.max = -result.min;
  result.shift = shift_of<kType, double>(from, n);
  for (std::int64_t i = 0; i < n; ++i) {
    const double value = load(i);
    const double distance = value - result.shift;
    result.sum += distance;
    result.squares += distance * distance;
    result.min = std::min(result.min, value);
    result.max = std::max(result.max, value);
    result.zeros += value == 0 ? 1 : 0;
  }
  return result;
}

#else

/// The sum of the lanes, in double.
template <class D>
HWY_INLINE double sum_of_lanes(D d, hn::Vec<D> v) {
  if constexpr (sizeof(hn::TFromD<D>) == sizeof(double)) {
    return hn::GetLane(hn::SumOfLanes(d, v));
  } else {
    const hn::RepartitionToWide<D> wide;
    const hn::Half<D> half;
    const auto low = hn::PromoteTo(wide, hn::LowerHalf(half, v));
    return hn::GetLane(hn::SumOfLanes(wide, hn::Add(low, hn::PromoteTo(wide, hn::UpperHalf(half, v)))));
  }
}

/// Sums of distances and of their squares, in the type that elements are loaded as.
template <class D>
class NarrowSums {
  using V = hn::Vec<D>;

 public:
  NarrowSums(D d, double shift) : d_(d), shift_(hn::Set(d, static_cast<hn::TFromD<D>>(shift))) {}
  HWY_INLINE void add(V v0, V v1, V v2, V v3) {
    add(v0, sum0_, square0_);
    add(v1, sum1_, square1_);
    add(v2, sum0_, square0_);
    add(v3, sum1_, square1_);
  }
  HWY_INLINE void add(V v) { add(v, sum0_, square0_); }
  double sum() const { return sum_of_lanes(d_, hn::Add(sum0_, sum1_)); }
  double squares() const { return sum_of_lanes(d_, hn::Add(square0_, square1_)); }

 private:
  HWY_INLINE void add(V v, V& sum, V& square) {
    const V distance = hn::Sub(v, shift_);
    sum = hn::Add(sum, distance);
    square = hn::MulAdd(distance, distance, square);
  }

  const D d_;
  const V shift_;
  V sum0_ = hn::Zero(d_), sum1_ = sum0_, square0_ = sum0_, square1_ = sum0_;
};

/// The same of floats, four at a time in float and these in double: that keeps two more digits than float
/// alone, for a third of the time that double alone takes.
template <class D>
class WideSums {
  using V = hn::Vec<D>;
  using Wide = hn::RepartitionToWide<D>;
  using W = hn::Vec<Wide>;

 public:
  WideSums(D d, double shift) : shift_(hn::Set(d, static_cast<float>(shift))) {}
  HWY_INLINE void add(V v0, V v1, V v2, V v3) {
    const V d0 = hn::Sub(v0, shift_), d1 = hn::Sub(v1, shift_);
    const V d2 = hn::Sub(v2, shift_), d3 = hn::Sub(v3, shift_);
    const V square = hn::Add(hn::MulAdd(d0, d0, hn::Mul(d1, d1)), hn::MulAdd(d2, d2, hn::Mul(d3, d3)));
    widen(hn::Add(hn::Add(d0, d1), hn::Add(d2, d3)), sum0_, sum1_);
    widen(square, square0_, square1_);
  }
  HWY_INLINE void add(V v) {
    const V distance = hn::Sub(v, shift_);
    widen(distance, sum0_, sum1_);
    widen(hn::Mul(distance, distance), square0_, square1_);
  }
  double sum() const { return sum_of_lanes(Wide(), hn::Add(sum0_, sum1_)); }
  double squares() const { return sum_of_lanes(Wide(), hn::Add(square0_, square1_)); }

 private:
  static HWY_INLINE void widen(V v, W& low, W& high) {
    const hn::Half<D> half;
    low = hn::Add(low, hn::PromoteTo(Wide(), hn::LowerHalf(half, v)));
    high = hn::Add(high, hn::PromoteTo(Wide(), hn::UpperHalf(half, v)));
  }

  const V shift_;
  W sum0_ = hn::Zero(Wide()), sum1_ = sum0_, square0_ = sum0_, square1_ = sum0_;
};

/// A block of a floating type that is being looked at from front to back.
template <DType kType>
class FloatScan {
  using Stored = typename Element<kType>::Stored;
  using T = typename Element<kType>::Value;
  using D = hn::ScalableTag<T>;
  using V = hn::Vec<D>;
  // Types of two bytes have few digits: float holds their sums.
  using Sums = std::conditional_t<kType == DType::f32, WideSums<D>, NarrowSums<D>>;

 public:
  /// Of how many elements a step is.
  static std::int64_t step_size() { return 4 * static_cast<std::int64_t>(hn::Lanes(D())); }

  HWY_INLINE FloatScan(const Stored* from, std::int64_t n)
      : from_(from), n_(n), shift_(static_cast<double>(shift_of<kType, T>(from, n))), sums_(D(), shift_) {}

  HWY_INLINE void step(std::int64_t i) {
    const D d;
    const V zero = hn::Zero(d);
    V v0, v1, v2, v3;
    load_two<kType>(d, from_ + i, v0, v1);
    load_two<kType>(d, from_ + i + step_size() / 2, v2, v3);
    sums_.add(v0, v1, v2, v3);
    low_ = hn::Min(low_, hn::Min(hn::Min(v0, v1), hn::Min(v2, v3)));
    high_ = hn::Max(high_, hn::Max(hn::Max(v0, v1), hn::Max(v2, v3)));
    zeros_ += hn::CountTrue(d, hn::Eq(v0, zero)) + hn::CountTrue(d, hn::Eq(v1, zero)) +
              hn::CountTrue(d, hn::Eq(v2, zero)) + hn::CountTrue(d, hn::Eq(v3, zero));
  }

  /// After steps for all elements before i.
  HWY_INLINE Scan finish(std::int64_t i) {
    const D d;
    const V zero = hn::Zero(d);
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    for (; i + lanes <= n_; i += lanes) {
      const V v = load_vector<kType>(d, from_ + i);
      sums_.add(v);
      low_ = hn::Min(low_, v);
      high_ = hn::Max(high_, v);
      zeros_ += hn::CountTrue(d, hn::Eq(v, zero));
    }
    Scan result;
    result.in_float = kType != DType::f64;
    result.shift = shift_;
    result.sum = sums_.sum();
    result.squares = sums_.squares();
    result.min = static_cast<double>(hn::GetLane(hn::MinOfLanes(d, low_)));
    result.max = static_cast<double>(hn::GetLane(hn::MaxOfLanes(d, high_)));
    for (; i < n_; ++i) {
      const auto value = static_cast<double>(Element<kType>::load(from_[i]));
      const double distance = value - shift_;
      result.sum += distance;
      result.squares += distance * distance;
      result.min = std::min(result.min, value);
      result.max = std::max(result.max, value);
      zeros_ += value == 0 ? 1 : 0;
    }
    result.zeros = static_cast<std::int64_t>(zeros_);
    return result;
  }

  HWY_INLINE void prefetch_behind(std::int64_t i, std::int64_t bytes) const {
    prefetch(from_ + i, step_size(), bytes);
  }

 private:
  const Stored* HWY_RESTRICT from_;
  const std::int64_t n_;
  const double shift_;
  Sums sums_;
  V low_ = hn::Set(D(), std::numeric_limits<T>::infinity());
  V high_ = hn::Neg(low_);
  std::size_t zeros_ = 0;
};

/// Of 0 < n <= kRun elements of a floating type.
template <DType kType>
Scan scan_floats(const typename Element<kType>::Stored* HWY_RESTRICT from, std::int64_t n) {
  FloatScan<kType> scan(from, n);
  const std::int64_t step = FloatScan<kType>::step_size();
  std::int64_t i = 0;
  for (; i + step <= n; i += step) {
    scan.prefetch_behind(i, kAheadOfOne);
    scan.step(i);
  }
  return scan.finish(i);
}

/// Of four blocks of n elements of a floating type that begin distance apart. In turn: one alone keeps too
/// little on its way from memory.
template <DType kType>
void scan_four(const typename Element<kType>::Stored* HWY_RESTRICT from, std::int64_t n,
               std::int64_t distance, Scan* results) {
  FloatScan<kType> a(from, n), b(from + distance, n), c(from + 2 * distance, n), d(from + 3 * distance, n);
  const std::int64_t step = FloatScan<kType>::step_size();
  std::int64_t i = 0;
  for (; i + step <= n; i += step) {
    a.prefetch_behind(i, kAheadOfFour);
    a.step(i);
    b.prefetch_behind(i, kAheadOfFour);
    b.step(i);
    c.prefetch_behind(i, kAheadOfFour);
    c.step(i);
    d.prefetch_behind(i, kAheadOfFour);
    d.step(i);
  }
  results[0] = a.finish(i);
  results[1] = b.finish(i);
  results[2] = c.finish(i);
  results[3] = d.finish(i);
}

/// Of 0 < n <= kRun elements.
template <DType kType>
Scan scan(const typename Element<kType>::Stored* HWY_RESTRICT from, std::int64_t n) {
  if constexpr (is_floating(kType)) {
    return scan_floats<kType>(from, n);
  } else {
    if (n <= 0) __builtin_unreachable();  // or the compiler warns of values that nobody wrote
    double values[kRun];
    for (std::int64_t i = 0; i < n; ++i) values[i] = static_cast<double>(Element<kType>::load(from[i]));
    return scan_floats<DType::f64>(values, n);
  }
}

#endif

#if MILLRACE_HAS_VECTORS
template <DType kType, typename Accumulator, auto kOf>
void four_scans(const void* elements, std::int64_t n, std::int64_t distance, void* accumulators) {
  const auto* from = static_cast<const typename Element<kType>::Stored*>(elements);
  std::array<Scan, 4> scans;
  scan_four<kType>(from, n, distance, scans.data());
  auto* to = static_cast<Accumulator*>(accumulators);
  for (const Scan& scan : scans) {
    *to++ = kOf(scan, from, n);
    from += distance;
  }
}
#endif

/// Reducer::four_runs where kOf(scan, elements, n) makes an accumulator.
template <DType kType, typename Accumulator, auto kOf>
constexpr auto four_runs_of() -> decltype(Reducer::four_runs) {
#if MILLRACE_HAS_VECTORS
  if constexpr (is_floating(kType)) return &four_scans<kType, Accumulator, kOf>;
#endif
  return nullptr;
}

}  // namespace millrace::host::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
