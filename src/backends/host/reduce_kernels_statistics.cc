#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "backends/host/reduce_kernels.h"
#include "backends/host/reduce_kernels_dense.h"
#include "backends/host/reduce_kernels_element.h"

namespace millrace::host {
namespace {

/// Elements looked at together: read a second time for the squares while the first-level cache has them.
constexpr int kBlock = 2048;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

using DoublePair = VectorOf<double>::type;

/// Four floats or two doubles, and what is done with them in double.
template <typename T>
struct Lanes;

template <>
struct Lanes<float> {
  using Vector = VectorOf<float>::type;
  static constexpr int kCount = 4;
  template <typename F>
  static void each_pair(const float* from, F&& f) noexcept {
    const Vector v = load_vector(from);
#if defined(__SSE2__)  // the portable way below is compiled to conversions one by one
    f(0, DoublePair(_mm_cvtps_pd(v)));
    f(1, DoublePair(_mm_cvtps_pd(_mm_movehl_ps(v, v))));
#else
    f(0, __builtin_convertvector(__builtin_shufflevector(v, v, 0, 1), DoublePair));
    f(1, __builtin_convertvector(__builtin_shufflevector(v, v, 2, 3), DoublePair));
#endif
  }
};

template <>
struct Lanes<double> {
  using Vector = VectorOf<double>::type;
  static constexpr int kCount = 2;
  template <typename F>
  static void each_pair(const double* from, F&& f) noexcept {
    f(0, load_vector(from));
  }
};

/// The part of a block that fills whole steps; the rest is added one by one.
template <typename T>
constexpr int kStep = 2 * Lanes<T>::kCount;

template <typename T>
struct FirstPass {
  double sum = 0;
  T min = std::numeric_limits<T>::infinity();
  T max = -std::numeric_limits<T>::infinity();
  std::int64_t zeros = 0;
};

/// The extremes mean something only where the sum is finite: a NaN is lost in them, but not in it.
template <typename T>
FirstPass<T> first_pass(const T* values, int n) noexcept {
  using Vector = typename Lanes<T>::Vector;
  using Mask = decltype(Vector{} == Vector{});
  FirstPass<T> result;
  std::array<DoublePair, 4> sums{};
  std::array<Vector, 2> low;
  std::array<Vector, 2> high;
  low.fill(Vector{} + result.min);
  high.fill(Vector{} + result.max);
  Mask zeros{};
  int i = 0;
  for (; i + kStep<T> <= n; i += kStep<T>) {
    for (std::size_t k = 0; k < 2; ++k) {
      const T* from = values + i + static_cast<int>(k) * Lanes<T>::kCount;
      const Vector v = load_vector(from);
      low[k] = v < low[k] ? v : low[k];
      high[k] = v > high[k] ? v : high[k];
      zeros -= v == Vector{};
      Lanes<T>::each_pair(from, [&](std::size_t pair, DoublePair wide) { sums[2 * k + pair] += wide; });
    }
  }
  for (int lane = 0; lane < Lanes<T>::kCount; ++lane) {
    result.min = std::min({result.min, low[0][lane], low[1][lane]});
    result.max = std::max({result.max, high[0][lane], high[1][lane]});
    result.zeros += zeros[lane];
  }
  const DoublePair sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  result.sum = sum[0] + sum[1];
  for (; i < n; ++i) {
    result.sum += static_cast<double>(values[i]);
    result.min = std::min(result.min, values[i]);
    result.max = std::max(result.max, values[i]);
    result.zeros += values[i] == 0 ? 1 : 0;
  }
  return result;
}

template <typename T>
double squared_distances(const T* values, int n, double mean) noexcept {
  std::array<DoublePair, 4> sums{};
  const DoublePair means = DoublePair{} + mean;
  int i = 0;
  for (; i + kStep<T> <= n; i += kStep<T>) {
    for (std::size_t k = 0; k < 2; ++k) {
      const T* from = values + i + static_cast<int>(k) * Lanes<T>::kCount;
      Lanes<T>::each_pair(from, [&](std::size_t pair, DoublePair wide) {
        const DoublePair distance = wide - means;
        sums[2 * k + pair] += distance * distance;
      });
    }
  }
  const DoublePair sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  double result = sum[0] + sum[1];
  for (; i < n; ++i) {
    const double distance = static_cast<double>(values[i]) - mean;
    result += distance * distance;
  }
  return result;
}

/// Of 0 < n <= kBlock finite values.
template <typename T>
Statistics finite_block(const T* values, int n, const FirstPass<T>& first) noexcept {
  Statistics result;
  result.count = n;
  result.zeros = first.zeros;
  result.sum = first.sum;
  result.mean = first.sum / static_cast<double>(n);
  result.m2 = squared_distances(values, n, result.mean);
  result.min = static_cast<double>(first.min);
  result.max = static_cast<double>(first.max);
  result.absmax = std::max(std::abs(result.min), std::abs(result.max));
  return result;
}

Statistics nothing() noexcept {
  Statistics result;
  result.min = kInfinity;
  result.max = -kInfinity;
  return result;
}

/// Of 0 < n <= kBlock values.
template <typename T>
Statistics block(const T* values, int n) noexcept {
  const FirstPass<T> first = first_pass(values, n);
  // Doubles may also overflow the sum with finite values only; the longer way is right for them too.
  if (std::isfinite(first.sum)) return finite_block(values, n, first);
  T finite[kBlock];
  int kept = 0;
  int nan = 0;
  for (int i = 0; i < n; ++i) {
    finite[kept] = values[i];
    kept += std::isfinite(values[i]) ? 1 : 0;
    nan += std::isnan(values[i]) ? 1 : 0;
  }
  Statistics result = kept > 0 ? finite_block(finite, kept, first_pass(finite, kept)) : nothing();
  result.count = n;
  result.nan = nan;
  result.inf = n - kept - nan;
  return result;
}

/// What a type is computed with: float where that is exact, which is half the memory.
template <DType kType>
using Computed =
    std::conditional_t<(is_floating(kType) ? kType != DType::f64 : size_of(kType) <= 2), float, double>;

template <DType kType>
void run(const StatisticsWork& work) noexcept {
  using Input = Element<kType>;
  using Stored = typename Input::Stored;
  using Value = Computed<kType>;
  const int last = work.shape.size() - 1;
  const std::int64_t size = last < 0 ? 1 : work.shape[last];
  const std::int64_t stride = last < 0 ? 1 : work.strides[last];
  Dims outer, outer_strides;
  for (int i = 0; i < last; ++i) {
    outer.push_back(work.shape[i]);
    outer_strides.push_back(work.strides[i]);
  }
  Statistics total = nothing();
  Value values[kBlock];
  int filled = 0;
  Walk walk(outer, outer_strides);
  do {
    const auto* row = static_cast<const Stored*>(work.input) + walk.offset();
    for (std::int64_t i = 0; i < size;) {
      const int n = static_cast<int>(std::min<std::int64_t>(size - i, kBlock - filled));
      const Stored* from = row + i * stride;
      i += n;
      if constexpr (std::is_same_v<Stored, Value>) {
        if (stride == 1 && n == kBlock) {
          total = combine(total, block(from, n));
          continue;
        }
      }
      if (stride == 1) {
        for (int k = 0; k < n; ++k) values[filled + k] = static_cast<Value>(Input::load(from[k]));
      } else {
        for (int k = 0; k < n; ++k) {
          values[filled + k] = static_cast<Value>(Input::load(from[k * stride]));
        }
      }
      filled += n;
      if (filled == kBlock) {
        total = combine(total, block(values, filled));
        filled = 0;
      }
    }
  } while (walk.next());
  if (filled > 0) total = combine(total, block(values, filled));
  *work.output = total;
}

}  // namespace

void run_statistics(const StatisticsWork& work) noexcept {
  switch (work.dtype) {
    case DType::f64: return run<DType::f64>(work);
    case DType::f32: return run<DType::f32>(work);
    case DType::f16: return run<DType::f16>(work);
    case DType::bf16: return run<DType::bf16>(work);
    case DType::i64: return run<DType::i64>(work);
    case DType::i32: return run<DType::i32>(work);
    case DType::i16: return run<DType::i16>(work);
    case DType::i8: return run<DType::i8>(work);
    case DType::u8: return run<DType::u8>(work);
    case DType::boolean: return run<DType::boolean>(work);
  }
}

}  // namespace millrace::host
