// Element types as the kernels see them: how they are stored, and the value computed with.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

#include <millrace/dtype.h>

namespace millrace::cuda {

/// A type that is stored as it is computed with.
template <typename T>
struct PlainElement {
  using Stored = T;
  using Value = T;
  static __device__ Value load(Stored stored) { return stored; }
  static __device__ Stored store(Value value) { return value; }
};

template <DType kType>
struct Element;
template <>
struct Element<DType::f64> : PlainElement<double> {};
template <>
struct Element<DType::f32> : PlainElement<float> {};
template <>
struct Element<DType::i64> : PlainElement<std::int64_t> {};
template <>
struct Element<DType::i32> : PlainElement<std::int32_t> {};
template <>
struct Element<DType::i16> : PlainElement<std::int16_t> {};
template <>
struct Element<DType::i8> : PlainElement<std::int8_t> {};
template <>
struct Element<DType::u8> : PlainElement<std::uint8_t> {};
template <>
struct Element<DType::f16> {
  using Stored = std::uint16_t;
  using Value = float;
  static __device__ Value load(Stored stored) { return __half2float(__ushort_as_half(stored)); }
  static __device__ Stored store(Value value) { return __half_as_ushort(__float2half_rn(value)); }
};
template <>
struct Element<DType::bf16> {
  using Stored = std::uint16_t;
  using Value = float;
  static __device__ Value load(Stored stored) {
    return __uint_as_float(static_cast<std::uint32_t>(stored) << 16);
  }
  /// To nearest, ties to even; a NaN stays one and becomes quiet.
  static __device__ Stored store(Value value) {
    const std::uint32_t bits = __float_as_uint(value);
    const std::uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    const std::uint32_t nan = (bits >> 16) | 0x40;
    return static_cast<Stored>((bits & 0x7fffffff) > 0x7f800000 ? nan : rounded);
  }
};
template <>
struct Element<DType::boolean> {
  using Stored = std::uint8_t;
  using Value = std::uint8_t;
  static __device__ Value load(Stored stored) { return stored != 0 ? 1 : 0; }
  static __device__ Stored store(Value value) { return value; }
};

// As constants: device code may not call the functions they come from.
template <DType kType>
inline constexpr bool kIsFloating = is_floating(kType);
template <DType kType>
inline constexpr bool kIsHalf = kType == DType::f16 || kType == DType::bf16;
/// Integers of up to two bytes: 64 bits hold the sum of any number of them, and of their squares.
template <DType kType>
inline constexpr bool kIsShortInteger = !is_floating(kType) && size_of(kType) <= 2;

/// Results of operations that give back the input's floating type, and double for integers.
template <DType kType>
struct FloatingResult {
  using Type = std::conditional_t<kIsFloating<kType>, typename Element<kType>::Stored, double>;
  static __device__ Type of(double value) {
    if constexpr (kIsFloating<kType>) {
      return Element<kType>::store(static_cast<typename Element<kType>::Value>(value));
    } else {
      return value;
    }
  }
};

__device__ inline double infinity() {
  return __longlong_as_double(0x7ff0000000000000LL);
}
__device__ inline double not_a_number() {
  return __longlong_as_double(0x7ff8000000000000LL);
}
/// Neither infinite nor NaN.
template <typename T>
__device__ bool is_finite(T value) {
  if constexpr (std::is_floating_point_v<T>) {
    return value - value == 0;
  } else {
    return true;
  }
}
/// NaN? Never of an integer.
template <typename T>
__device__ bool is_nan(T value) {
  return value != value;
}

}  // namespace millrace::cuda
