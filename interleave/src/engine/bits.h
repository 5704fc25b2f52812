// Sets of events as masks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

namespace interleave {

/// A set of numbers below 64 * W.
///
/// Thread safety: a value.
template <int W>
struct Bits {
  std::uint64_t word[W] = {};

  static constexpr int kSize = 64 * W;

  static unsigned in(int i) noexcept { return W == 1 ? 0 : static_cast<unsigned>(i) / 64; }

  static Bits one(int i) noexcept {
    Bits bits;
    bits.set(i);
    return bits;
  }
  /// 0 to count - 1.
  static Bits below(int count) noexcept {
    Bits bits;
    if constexpr (W == 1) {
      bits.word[0] = count >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
      return bits;
    }
    for (int w = 0; w < W; ++w) {
      const int rest = count - 64 * w;
      bits.word[w] = rest >= 64 ? ~std::uint64_t{0} : rest <= 0 ? 0 : (std::uint64_t{1} << rest) - 1;
    }
    return bits;
  }

  bool has(int i) const noexcept { return (word[in(i)] >> (i & 63) & 1) != 0; }
  void set(int i) noexcept { word[in(i)] |= std::uint64_t{1} << (i & 63); }
  void clear(int i) noexcept { word[in(i)] &= ~(std::uint64_t{1} << (i & 63)); }
  bool any() const noexcept {
    std::uint64_t all = 0;
    for (int w = 0; w < W; ++w) all |= word[w];
    return all != 0;
  }
  int count() const noexcept {
    int sum = 0;
    for (int w = 0; w < W; ++w) sum += ones(word[w]);
    return sum;
  }
  /// Without the instruction, which not all processors of the architecture have, and without a call.
  static int ones(std::uint64_t bits) noexcept {
    bits -= bits >> 1 & 0x5555555555555555;
    bits = (bits & 0x3333333333333333) + (bits >> 2 & 0x3333333333333333);
    bits = (bits + (bits >> 4)) & 0x0f0f0f0f0f0f0f0f;
    return static_cast<int>(bits * 0x0101010101010101 >> 56);
  }
  /// The first element from i on; end if there is none before it.
  int next(int i, int end) const noexcept {
    for (int w = i / 64; w < W; ++w) {
      std::uint64_t rest = word[w];
      if (w == i / 64) rest &= ~std::uint64_t{0} << (i & 63);
      if (rest != 0) return std::min(end, 64 * w + __builtin_ctzll(rest));
    }
    return end;
  }
  /// How many of its elements are below i.
  int rank(int i) const noexcept { return (*this & below(i)).count(); }

  friend Bits operator|(Bits a, const Bits& b) noexcept { return a |= b; }
  friend Bits operator&(Bits a, const Bits& b) noexcept { return a &= b; }
  friend Bits operator-(Bits a, const Bits& b) noexcept {
    for (int w = 0; w < W; ++w) a.word[w] &= ~b.word[w];
    return a;
  }
  Bits& operator|=(const Bits& b) noexcept {
    for (int w = 0; w < W; ++w) word[w] |= b.word[w];
    return *this;
  }
  Bits& operator&=(const Bits& b) noexcept {
    for (int w = 0; w < W; ++w) word[w] &= b.word[w];
    return *this;
  }
  friend bool operator==(const Bits&, const Bits&) = default;
  bool within(const Bits& other) const noexcept { return !(*this - other).any(); }

  /// Calls f with each element, upwards.
  template <typename F>
  void each(F f) const {
    for (int w = 0; w < W; ++w) {
      for (std::uint64_t rest = word[w]; rest != 0; rest &= rest - 1) f(64 * w + __builtin_ctzll(rest));
    }
  }
  /// Whether f holds for one of the elements.
  template <typename F>
  bool some(F f) const {
    for (int w = 0; w < W; ++w) {
      for (std::uint64_t rest = word[w]; rest != 0; rest &= rest - 1) {
        if (f(64 * w + __builtin_ctzll(rest))) return true;
      }
    }
    return false;
  }

  Bits shifted_down(int by) const noexcept {
    Bits result;
    const int words = by / 64, bits = by % 64;
    for (int w = 0; w + words < W; ++w) {
      result.word[w] = word[w + words] >> bits;
      if (bits != 0 && w + words + 1 < W) result.word[w] |= word[w + words + 1] << (64 - bits);
    }
    return result;
  }
};

/// An element, in as little room as holds it.
template <int W>
using Number = std::conditional_t<W <= 4, std::uint8_t, std::uint16_t>;

/// Renumbers sets after some numbers were dropped: element i of what is kept becomes rank(i).
///
/// Thread safety: a value.
template <int W>
class Renumbering {
 public:
  explicit Renumbering(const Bits<W>& kept, int size) noexcept {
    const Bits<W> dropped = Bits<W>::below(size) - kept;
    same_ = dropped.next(0, size);
    spans_[count_++] = {Bits<W>::below(same_), 0};
    int to = same_;
    for (int from = kept.next(same_, size); from < size;) {
      const int end = dropped.next(from, size);
      for (int e = from; e < end; ++e) numbers_[e] = static_cast<Number<W>>(to + e - from);
      spans_[count_++] = {Bits<W>::below(to + end - from) - Bits<W>::below(to), from - to};
      to += end - from;
      from = kept.next(end, size);
    }
  }

  /// Elements below it stay what they are.
  int same() const noexcept { return same_; }

  Bits<W> operator()(const Bits<W>& set) const noexcept {
    Bits<W> result;
    for (int i = 0; i < count_; ++i) {
      if constexpr (W == 1) {
        result.word[0] |= set.word[0] >> spans_[i].shift & spans_[i].target.word[0];
      } else {
        result |= set.shifted_down(spans_[i].shift) & spans_[i].target;
      }
    }
    return result;
  }
  int operator()(int element) const noexcept { return element < same_ ? element : numbers_[element]; }

 private:
  struct Span {
    Bits<W> target;
    int shift;
  };
  Span spans_[32 * W + 1];
  int count_ = 0;
  int same_;
  Number<W> numbers_[64 * W];  // of those that are kept
};

}  // namespace interleave
