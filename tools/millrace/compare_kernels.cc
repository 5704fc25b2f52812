#include "compare_kernels.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "half.h"

namespace millrace::tool {
namespace {

/// Converted and compared together, while the first-level cache has them.
constexpr std::size_t kBlock = 512;
/// How far ahead memory is asked for: the processor's own prefetching ends at each page.
constexpr std::size_t kPrefetchBytes = 4096;
constexpr std::size_t kCacheLine = 64;
/// Sums side by side, which do not wait for each other.
constexpr std::size_t kLanes = 8;
static_assert(kBlock % kLanes == 0);

template <typename Stored>
Stored load(const std::byte* from, std::size_t i) {
  Stored value;
  std::memcpy(&value, from + i * sizeof(Stored), sizeof(Stored));
  return value;
}

template <typename Value, typename Stored>
void convert_each(const std::byte* from, std::size_t n, Value* to) {
  // NOLINTNEXTLINE(bugprone-signed-char-misuse): i8 is a number here
  for (std::size_t i = 0; i < n; ++i) to[i] = static_cast<Value>(load<Stored>(from, i));
}

/// Value: a type that every element has an exact counterpart in.
template <typename Value>
void convert(DType dtype, const std::byte* from, std::size_t n, Value* to) {
  switch (dtype) {
    case DType::f64: return convert_each<Value, double>(from, n, to);
    case DType::f32: return convert_each<Value, float>(from, n, to);
    case DType::f16:
      for (std::size_t i = 0; i < n; ++i) to[i] = static_cast<Value>(from_f16(load<std::uint16_t>(from, i)));
      return;
    case DType::bf16:
      for (std::size_t i = 0; i < n; ++i) to[i] = static_cast<Value>(from_bf16(load<std::uint16_t>(from, i)));
      return;
    case DType::i64: return convert_each<Value, std::int64_t>(from, n, to);
    case DType::i32: return convert_each<Value, std::int32_t>(from, n, to);
    case DType::i16: return convert_each<Value, std::int16_t>(from, n, to);
    case DType::i8: return convert_each<Value, std::int8_t>(from, n, to);
    case DType::u8: return convert_each<Value, std::uint8_t>(from, n, to);
    case DType::boolean:
      for (std::size_t i = 0; i < n; ++i) to[i] = static_cast<Value>(load<std::uint8_t>(from, i) != 0);
      return;
  }
}

void prefetch(const std::byte* from, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; i += kCacheLine) __builtin_prefetch(from + kPrefetchBytes + i);
}

void add_distance(Difference& sum, double first, double distance) {
  sum.finite += 1;
  sum.squares += distance * distance;
  sum.first_squares += first * first;
  sum.max_abs = std::max(sum.max_abs, distance);
}

template <typename Value>
void add_pair(Difference& sum, Value x, Value y) {
  constexpr Value kLargest = std::numeric_limits<Value>::max();
  const bool x_nan = x != x;
  const bool y_nan = y != y;
  const bool both_finite = std::abs(x) <= kLargest && std::abs(y) <= kLargest;
  const bool different = !(x == y) && !(x_nan && y_nan);
  sum.differing += different ? 1 : 0;
  sum.nan_mismatch += x_nan != y_nan ? 1 : 0;
  sum.inf_mismatch += different && !x_nan && !y_nan && !both_finite ? 1 : 0;
  if (both_finite) add_distance(sum, static_cast<double>(x), static_cast<double>(std::abs(y - x)));
}

void add_pair(Difference& sum, std::int64_t x, std::int64_t y) {
  const auto [low, high] = std::minmax(x, y);
  sum.differing += x != y ? 1 : 0;
  // Unsigned: the distance of two i64 may take 64 bits.
  const std::uint64_t distance = static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low);
  add_distance(sum, static_cast<double>(x), static_cast<double>(distance));
}

template <typename Value>
void add_block(Difference& sum, const Value* x, const Value* y, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) add_pair(sum, x[i], y[i]);
}

/// In lanes, as if all were finite; then the sums of squares are too, and if they are not, once more with
/// care.
void add_block(Difference& sum, const double* x, const double* y, std::size_t n) {
  std::array<double, kLanes> squares{};
  std::array<double, kLanes> first{};
  std::array<double, kLanes> second{};
  std::array<double, kLanes> largest{};
  std::array<std::int64_t, kLanes> differing{};
  const std::size_t whole = n / kLanes * kLanes;
  for (std::size_t i = 0; i < whole; i += kLanes) {
    for (std::size_t k = 0; k < kLanes; ++k) {
      const double distance = std::abs(y[i + k] - x[i + k]);
      squares[k] += distance * distance;
      first[k] += x[i + k] * x[i + k];
      second[k] += y[i + k] * y[i + k];
      largest[k] = distance > largest[k] ? distance : largest[k];
      differing[k] += x[i + k] == y[i + k] ? 0 : 1;
    }
  }
  Difference block;
  double second_squares = 0;
  for (std::size_t k = 0; k < kLanes; ++k) {
    block.squares += squares[k];
    block.first_squares += first[k];
    second_squares += second[k];
    block.max_abs = std::max(block.max_abs, largest[k]);
    block.differing += static_cast<std::uint64_t>(differing[k]);
  }
  block.finite = whole;
  if (std::isfinite(block.first_squares) && std::isfinite(second_squares)) {
    sum = combine(sum, block);
    add_block<double>(sum, x + whole, y + whole, n - whole);
  } else {
    add_block<double>(sum, x, y, n);
  }
}

template <typename Value>
Difference compare_as(DType first_type, const std::byte* first, DType second_type, const std::byte* second,
                      std::size_t count) {
  Difference sum;
  std::array<Value, kBlock> x;
  std::array<Value, kBlock> y;
  for (std::size_t begin = 0; begin < count; begin += kBlock) {
    const std::size_t n = std::min(kBlock, count - begin);
    const std::byte* const a = first + begin * size_of(first_type);
    const std::byte* const b = second + begin * size_of(second_type);
    prefetch(a, n * size_of(first_type));
    prefetch(b, n * size_of(second_type));
    convert(first_type, a, n, x.data());
    convert(second_type, b, n, y.data());
    add_block(sum, x.data(), y.data(), n);
  }
  sum.count = count;
  return sum;
}

}  // namespace

std::optional<double> Difference::rms() const {
  if (finite == 0) return std::nullopt;
  return std::sqrt(squares / static_cast<double>(finite));
}

std::optional<double> Difference::relative() const {
  if (finite == 0) return std::nullopt;
  if (squares == 0) return 0.0;
  if (first_squares == 0) return std::nullopt;
  return std::sqrt(squares / first_squares);
}

Difference combine(const Difference& a, const Difference& b) noexcept {
  Difference both;
  both.count = a.count + b.count;
  both.differing = a.differing + b.differing;
  both.nan_mismatch = a.nan_mismatch + b.nan_mismatch;
  both.inf_mismatch = a.inf_mismatch + b.inf_mismatch;
  both.finite = a.finite + b.finite;
  both.identical = a.identical && b.identical;
  both.max_abs = std::max(a.max_abs, b.max_abs);
  both.squares = a.squares + b.squares;
  both.first_squares = a.first_squares + b.first_squares;
  return both;
}

Difference compare_elements(DType first_type, const std::byte* first, DType second_type,
                            const std::byte* second, std::size_t count) {
  const bool first_i64 = first_type == DType::i64;
  const bool second_i64 = second_type == DType::i64;
  Difference result;
  if (first_i64 && second_i64) {
    result = compare_as<std::int64_t>(first_type, first, second_type, second, count);
  } else if (first_i64 || second_i64) {
    // 64 bits of fraction or more: exact for i64 and for every float.
    static_assert(std::numeric_limits<long double>::digits >= 64);
    result = compare_as<long double>(first_type, first, second_type, second, count);
  } else {
    result = compare_as<double>(first_type, first, second_type, second, count);
  }
  result.identical =
      first_type == second_type && std::memcmp(first, second, count * size_of(first_type)) == 0;
  return result;
}

}  // namespace millrace::tool
