// Element types as the kernels see them: how they are stored, and the value computed with.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>

#include <millrace/dtype.h>

namespace millrace::host {

// Inlined always: loops over the conversions are vectorised only then. For the same reason they choose
// with masks instead of branches.

[[gnu::always_inline]] inline std::uint32_t select(bool condition, std::uint32_t yes,
                                                   std::uint32_t no) noexcept {
  const std::uint32_t mask = 0 - static_cast<std::uint32_t>(condition);
  return (yes & mask) | (no & ~mask);
}

/// Exact; the payload of a NaN is kept.
[[gnu::always_inline]] inline float float_from_half(std::uint16_t half) noexcept {
  constexpr std::uint32_t kRebias = std::uint32_t{127 - 15} << 23;
  constexpr std::uint32_t kExponent = std::uint32_t{0x1f} << 23;
  constexpr std::uint32_t kSmallestNormal = std::uint32_t{127 - 14} << 23;
  const std::uint32_t bits = half;
  const std::uint32_t wide = (bits & 0x7fff) << 13;
  const std::uint32_t exponent = wide & kExponent;
  const std::uint32_t normal = wide + kRebias + select(exponent == kExponent, kRebias, 0);
  // Reads the bits of a subnormal as those above the smallest normal number, then takes that away.
  const float subnormal =
      std::bit_cast<float>(wide + kSmallestNormal) - std::bit_cast<float>(kSmallestNormal);
  const std::uint32_t magnitude = select(exponent == 0, std::bit_cast<std::uint32_t>(subnormal), normal);
  return std::bit_cast<float>(magnitude | ((bits & 0x8000) << 16));
}

/// To nearest, ties to even; past the largest half infinity; a NaN stays one and becomes quiet.
[[gnu::always_inline]] inline std::uint16_t half_from_float(float value) noexcept {
  constexpr std::uint32_t kInfinity = std::uint32_t{0xff} << 23;
  constexpr std::uint32_t kPastLargest = std::uint32_t{127 + 16} << 23;
  constexpr std::uint32_t kSmallestNormal = std::uint32_t{127 - 14} << 23;
  constexpr std::uint32_t kRebias = std::uint32_t{127 - 15} << 23;
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t magnitude = bits & 0x7fffffff;
  // Half's subnormals are multiples of 2^-24, which is the last place of a float at 0.5: adding 0.5
  // rounds to one of them.
  const std::uint32_t subnormal = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5F) -
                                  std::bit_cast<std::uint32_t>(0.5F);
  const std::uint32_t normal = (magnitude - kRebias + 0xfff + ((magnitude >> 13) & 1)) >> 13;
  const std::uint32_t nan = 0x7e00 | ((magnitude >> 13) & 0x1ff);
  const std::uint32_t past = select(magnitude > kInfinity, nan, 0x7c00);
  const std::uint32_t finite = select(magnitude < kSmallestNormal, subnormal, normal);
  const std::uint32_t half = select(magnitude >= kPastLargest, past, finite);
  return static_cast<std::uint16_t>(half | ((bits >> 16) & 0x8000));
}

/// Exact.
[[gnu::always_inline]] inline float float_from_bfloat(std::uint16_t bfloat) noexcept {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bfloat) << 16);
}

/// As half_from_float.
[[gnu::always_inline]] inline std::uint16_t bfloat_from_float(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const std::uint32_t nan = (bits >> 16) | 0x40;
  return static_cast<std::uint16_t>((bits & 0x7fffffff) > 0x7f800000 ? nan : rounded);
}

/// A type that is stored as it is computed with.
template <typename T>
struct PlainElement {
  using Stored = T;
  using Value = T;
  [[gnu::always_inline]] static Value load(Stored stored) noexcept { return stored; }
  [[gnu::always_inline]] static Stored store(Value value) noexcept { return value; }
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
  [[gnu::always_inline]] static Value load(Stored stored) noexcept { return float_from_half(stored); }
  [[gnu::always_inline]] static Stored store(Value value) noexcept { return half_from_float(value); }
};
template <>
struct Element<DType::bf16> {
  using Stored = std::uint16_t;
  using Value = float;
  [[gnu::always_inline]] static Value load(Stored stored) noexcept { return float_from_bfloat(stored); }
  [[gnu::always_inline]] static Stored store(Value value) noexcept { return bfloat_from_float(value); }
};
template <>
struct Element<DType::boolean> {
  using Stored = std::uint8_t;
  using Value = std::uint8_t;
  [[gnu::always_inline]] static Value load(Stored stored) noexcept { return stored != 0; }
  [[gnu::always_inline]] static Stored store(Value value) noexcept { return value; }
};

// What an element is, as it is stored: two-byte floats are not converted for it, which the compiler would not
// vectorise for every instruction set.

/// The bits of a two-byte float's infinity.
template <DType kType>
inline constexpr std::uint16_t kInfinityBits = kType == DType::f16 ? 0x7c00 : 0x7f80;
template <DType kType>
inline constexpr bool kIsTwoByteFloat = kType == DType::f16 || kType == DType::bf16;

[[gnu::always_inline]] constexpr int magnitude_bits(std::uint16_t stored) noexcept {
  return stored & 0x7fff;
}

template <DType kType>
[[gnu::always_inline]] bool is_zero(typename Element<kType>::Stored stored) noexcept {
  if constexpr (kIsTwoByteFloat<kType>) return magnitude_bits(stored) == 0;
  return stored == 0;
}
template <DType kType>
[[gnu::always_inline]] bool is_nan(typename Element<kType>::Stored stored) noexcept {
  if constexpr (kIsTwoByteFloat<kType>) return magnitude_bits(stored) > kInfinityBits<kType>;
  return stored != stored;
}
template <DType kType>
[[gnu::always_inline]] bool is_inf(typename Element<kType>::Stored stored) noexcept {
  if constexpr (kIsTwoByteFloat<kType>) return magnitude_bits(stored) == kInfinityBits<kType>;
  using Limits = std::numeric_limits<typename Element<kType>::Stored>;
  return Limits::has_infinity && (stored == Limits::infinity() || stored == -Limits::infinity());
}

}  // namespace millrace::host
