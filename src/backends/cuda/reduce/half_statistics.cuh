// What statistics count and compare of f16 and bf16: two elements at a time, as they are stored.
#pragma once

#include <cstdint>

#include "backends/cuda/reduce/element.cuh"
#include "backends/cuda/reduce/load.cuh"
#include "backends/cuda/reduce/order.cuh"

namespace millrace::cuda {

/// Extremes of finite values, and how many are zero.
template <DType kType>
class HalfExtremes {
 public:
  using Least = Order<kType, true>;
  using Largest = Order<kType, false>;
  using Value = typename Element<kType>::Value;
  using Stored = typename Element<kType>::Stored;

  /// False: one of the vector's elements is not finite, and nothing was done.
  __device__ bool add(const Vector<kType>& vector) {
    const std::uint32_t least = Least::best_pair(vector), largest = Largest::best_pair(vector);
    // The largest magnitude; a NaN comes out of either. From infinity on the highest bit is reached.
    const std::uint32_t magnitude = Largest::better_pairs(largest, least ^ kSigns);
    constexpr std::uint32_t kBelowInfinity = kType == DType::f16 ? 0x04000400 : 0x00800080;
    if (((magnitude + kBelowInfinity) & kSigns) != 0) return false;
    least_ = Least::better_pairs(least_, least);
    largest_ = Largest::better_pairs(largest_, largest);
    count_zeros(vector);
    return true;
  }
  __device__ void add(Value value) {
    const std::uint32_t stored = Element<kType>::store(value);
    const std::uint32_t pair = stored << 16 | stored;
    least_ = Least::better_pairs(least_, pair);
    largest_ = Largest::better_pairs(largest_, pair);
    zeros_ += value == 0 ? 1 : 0;
  }
  /// After at most 64 elements.
  __device__ void settle() {
    zeros_ += static_cast<int>(value_of(few_zeros_) + value_of(few_zeros_ >> 16));
    few_zeros_ = 0;
  }

  __device__ Value least() const { return Least::better(value_of(least_), value_of(least_ >> 16)); }
  __device__ Value largest() const { return Largest::better(value_of(largest_), value_of(largest_ >> 16)); }
  __device__ std::int64_t zeros() const { return zeros_; }

 private:
  static constexpr std::uint32_t kSigns = 0x80008000;
  static constexpr std::uint32_t kInfinities = kType == DType::f16 ? 0x7c007c00 : 0x7f807f80;

  static __device__ Value value_of(std::uint32_t pair) {
    return Element<kType>::load(static_cast<Stored>(pair));
  }
  __device__ void count_zeros(const Vector<kType>& vector) {
#if __CUDA_ARCH__ >= 900
    // Ones, as elements: a half holds the sum of so few of them.
    std::uint32_t ones[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if constexpr (kType == DType::f16) {
        asm("set.eq.f16x2.f16x2 %0, %1, %2;" : "=r"(ones[i]) : "r"(vector.words[i]), "r"(0));
      } else {
        asm("set.eq.bf16x2.bf16x2 %0, %1, %2;" : "=r"(ones[i]) : "r"(vector.words[i]), "r"(0));
      }
    }
    few_zeros_ = sum_of(few_zeros_, sum_of(sum_of(ones[0], ones[1]), sum_of(ones[2], ones[3])));
#else
#pragma unroll
    for (int i = 0; i < Vector<kType>::kElements; ++i) zeros_ += vector[i] == 0 ? 1 : 0;
#endif
  }
#if __CUDA_ARCH__ >= 900
  static __device__ std::uint32_t sum_of(std::uint32_t a, std::uint32_t b) {
    std::uint32_t sum;
    if constexpr (kType == DType::f16) {
      asm("add.f16x2 %0, %1, %2;" : "=r"(sum) : "r"(a), "r"(b));
    } else {
      asm("add.bf16x2 %0, %1, %2;" : "=r"(sum) : "r"(a), "r"(b));
    }
    return sum;
  }
#endif

  std::uint32_t least_ = kInfinities;
  std::uint32_t largest_ = kInfinities | kSigns;
  std::uint32_t few_zeros_ = 0;
  std::int64_t zeros_ = 0;
};

}  // namespace millrace::cuda
