// Sets of events as masks.
#pragma once

#include <cstdint>

namespace interleave {

/// A set of numbers below 64 * W.
///
/// Thread safety: a value.
template <int W>
struct Bits {
  std::uint64_t word[W] = {};

  static constexpr int kSize = 64 * W;

  static Bits one(int i) noexcept {
    Bits bits;
    bits.set(i);
    return bits;
  }
  /// 0 to count - 1.
  static Bits below(int count) noexcept {
    Bits bits;
    for (int w = 0; w < W; ++w) {
      const int rest = count - 64 * w;
      bits.word[w] = rest >= 64 ? ~std::uint64_t{0} : rest <= 0 ? 0 : (std::uint64_t{1} << rest) - 1;
    }
    return bits;
  }

  bool has(int i) const noexcept { return (word[i / 64] >> (i % 64) & 1) != 0; }
  void set(int i) noexcept { word[i / 64] |= std::uint64_t{1} << (i % 64); }
  void clear(int i) noexcept { word[i / 64] &= ~(std::uint64_t{1} << (i % 64)); }
  bool any() const noexcept {
    std::uint64_t all = 0;
    for (int w = 0; w < W; ++w) all |= word[w];
    return all != 0;
  }
  int count() const noexcept {
    int sum = 0;
    for (int w = 0; w < W; ++w) sum += __builtin_popcountll(word[w]);
    return sum;
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

/// Renumbers sets after some numbers were dropped: element i of what is kept becomes rank(i).
///
/// Thread safety: a value.
template <int W>
class Renumbering {
 public:
  explicit Renumbering(const Bits<W>& kept, int size) noexcept : kept_(kept) {
    int to = 0;
    for (int from = 0; from < size;) {
      if (!kept.has(from)) {
        ++from;
        continue;
      }
      int end = from;
      while (end < size && kept.has(end)) ++end;
      spans_[count_++] = {Bits<W>::below(to + end - from) - Bits<W>::below(to), from - to};
      to += end - from;
      from = end;
    }
  }

  Bits<W> operator()(const Bits<W>& set) const noexcept {
    Bits<W> result;
    for (int i = 0; i < count_; ++i) result |= set.shifted_down(spans_[i].shift) & spans_[i].target;
    return result;
  }
  int operator()(int element) const noexcept { return kept_.rank(element); }

 private:
  struct Span {
    Bits<W> target;
    int shift;
  };
  Bits<W> kept_;
  Span spans_[32 * W];
  int count_ = 0;
};

}  // namespace interleave
