// Which of two elements min, max, argmin and argmax take.
#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

#include "backends/cuda/reduce/element.cuh"
#include "backends/cuda/reduce/load.cuh"

namespace millrace::cuda {

/// A NaN is better than any number, and than no other NaN.
template <DType kType, bool kIsMin>
class Order {
 public:
  using Stored = typename Element<kType>::Stored;
  using Value = typename Element<kType>::Value;

  static __device__ bool is_better(Value b, Value a) {
    const bool better = kIsMin ? b < a : b > a;
    return better || (is_nan(b) && !is_nan(a));
  }
  static __device__ bool is_same(Value a, Value b) { return a == b || (is_nan(a) && is_nan(b)); }

  /// The better of two; which of equals is not said.
  static __device__ Value better(Value a, Value b) {
#if __CUDA_ARCH__ >= 800
    if constexpr (std::is_same_v<Value, float>) {
      float result;
      if constexpr (kIsMin) {
        asm("min.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
      } else {
        asm("max.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
      }
      return result;
    }
#endif
    return is_better(b, a) ? b : a;
  }
  /// Of two elements of two bytes at once.
  static __device__ std::uint32_t better_pairs(std::uint32_t a, std::uint32_t b) {
    std::uint32_t result;
#if __CUDA_ARCH__ >= 800
    if constexpr (kType == DType::f16) {
      if constexpr (kIsMin) {
        asm("min.NaN.f16x2 %0, %1, %2;" : "=r"(result) : "r"(a), "r"(b));
      } else {
        asm("max.NaN.f16x2 %0, %1, %2;" : "=r"(result) : "r"(a), "r"(b));
      }
    } else {
      if constexpr (kIsMin) {
        asm("min.NaN.bf16x2 %0, %1, %2;" : "=r"(result) : "r"(a), "r"(b));
      } else {
        asm("max.NaN.bf16x2 %0, %1, %2;" : "=r"(result) : "r"(a), "r"(b));
      }
    }
#else
    result = 0;
    for (int shift = 0; shift < 32; shift += 16) {
      const Value low = Element<kType>::load(static_cast<Stored>(a >> shift));
      const Value high = Element<kType>::load(static_cast<Stored>(b >> shift));
      result |= std::uint32_t{Element<kType>::store(better(low, high))} << shift;
    }
#endif
    return result;
  }
  /// The better of each half of a vector's words.
  static __device__ std::uint32_t best_pair(const Vector<kType>& vector) {
    const std::uint32_t a = better_pairs(vector.words[0], vector.words[1]);
    return better_pairs(a, better_pairs(vector.words[2], vector.words[3]));
  }
  /// The best element of a vector.
  static __device__ Value best_of(const Vector<kType>& vector) {
    if constexpr (kIsHalf<kType>) {
      const std::uint32_t pair = best_pair(vector);
      return better(Element<kType>::load(static_cast<Stored>(pair)),
                    Element<kType>::load(static_cast<Stored>(pair >> 16)));
    } else {
      Value best = vector[0];
#pragma unroll
      for (int i = 1; i < Vector<kType>::kElements; ++i) best = better(best, vector[i]);
      return best;
    }
  }

  using Limits = std::numeric_limits<Value>;
  static constexpr Value kLargest = Limits::has_infinity ? Limits::infinity() : Limits::max();
  static constexpr Value kSmallest = Limits::has_infinity ? -Limits::infinity() : Limits::lowest();
  /// Than which no element is worse.
  static constexpr Value kWorst = kIsMin ? kLargest : kSmallest;
};

}  // namespace millrace::cuda
