// Which of two elements min, max, argmin and argmax take.
#pragma once

#include <limits>

#include "backends/cuda/reduce/element.cuh"

namespace millrace::cuda {

/// A NaN is better than any number, and than no other NaN.
template <DType kType, bool kIsMin>
struct Order {
  using Value = typename Element<kType>::Value;

  static __device__ bool is_better(Value b, Value a) {
    const bool better = kIsMin ? b < a : b > a;
    return better || (is_nan(b) && !is_nan(a));
  }
  static __device__ bool is_same(Value a, Value b) { return a == b || (is_nan(a) && is_nan(b)); }

  using Limits = std::numeric_limits<Value>;
  static constexpr Value kLargest = Limits::has_infinity ? Limits::infinity() : Limits::max();
  static constexpr Value kSmallest = Limits::has_infinity ? -Limits::infinity() : Limits::lowest();
  /// Than which no element is worse.
  static constexpr Value kWorst = kIsMin ? kLargest : kSmallest;
};

}  // namespace millrace::cuda
