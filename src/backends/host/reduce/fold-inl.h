// The loops of a fold, compiled once for each instruction set: included several times.
#if defined(MILLRACE_HOST_REDUCE_FOLD_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef MILLRACE_HOST_REDUCE_FOLD_INL_H
#undef MILLRACE_HOST_REDUCE_FOLD_INL_H
#else
#define MILLRACE_HOST_REDUCE_FOLD_INL_H
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "backends/host/reduce/folds.h"
#include "backends/host/reduce/load-inl.h"
#include "backends/host/reduce/reducer.h"
#include "backends/host/reduce/targets.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::host::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// The most elements that are combined one after the other: chains of additions are as short as in NumPy's
/// pairwise sum.
inline constexpr std::int64_t kChainLength = 32;

// The folds' combine and load for vectors.

template <DType kType, typename Wide, class V>
HWY_INLINE V combine(SumFold<kType, Wide> /*fold*/, V a, V b) {
  return hn::Add(a, b);
}
template <DType kType, class V>
HWY_INLINE V combine(SquareFold<kType> /*fold*/, V a, V b) {
  return hn::Add(a, b);
}
template <DType kType, class V>
HWY_INLINE V combine(ProdFold<kType> /*fold*/, V a, V b) {
  return hn::Mul(a, b);
}
template <DType kType, bool kIsMin, class V>
HWY_INLINE V combine(ExtremeFold<kType, kIsMin> /*fold*/, V a, V b) {
  const auto better = kIsMin ? hn::Lt(b, a) : hn::Gt(b, a);
  return hn::IfThenElse(hn::Or(better, hn::IsNaN(b)), b, a);
}
template <class Fold, class V>
HWY_INLINE V loaded(Fold /*fold*/, V v) {
  return v;
}
template <DType kType, class V>
HWY_INLINE V loaded(SquareFold<kType> /*fold*/, V v) {
  return hn::Mul(v, v);
}

/// Leaves that are combined element by element, in vectors where Highway has them for the type.
template <class Fold, DType kType>
class Loops {
  using Stored = typename Fold::Stored;
  using Leaf = typename Fold::Leaf;
  using Accumulator = typename Fold::Accumulator;

#if !MILLRACE_HAS_VECTORS
  static constexpr bool kHasVectors = false;
#else
  static constexpr bool kHasVectors = Fold::kIsVector;
#endif
  // For types without vectors: chains side by side, which the compiler turns into vectors.
  static constexpr std::int64_t kChains = 16;
  static constexpr std::int64_t kTile = kTileBytes / static_cast<std::int64_t>(sizeof(Accumulator));

 public:
  static void run(const void* elements, std::int64_t n, void* accumulator) {
    *static_cast<Accumulator*>(accumulator) =
        static_cast<Accumulator>(reduce(static_cast<const Stored*>(elements), n));
  }

  // A run twice as long multiplies twice as much together, and numbers below 1 reach what processors multiply
  // slowly: products of bf16 took five times as long.
  static constexpr bool kIsProduct = std::is_same_v<Fold, ProdFold<kType>>;
  static constexpr std::int64_t kRunBytes = kHasVectors && !kIsProduct ? kTwoPages : kPage;

  /// Null where there are no vectors for the fold.
  static constexpr auto four_runs() -> decltype(Reducer::four_runs) {
#if MILLRACE_HAS_VECTORS
    if constexpr (kHasVectors) return &four_places;
#endif
    return nullptr;
  }

  static void runs(const void* elements, std::int64_t count, std::int64_t n, std::int64_t stride,
                   void* accumulators) {
    const auto* from = static_cast<const Stored*>(elements);
    auto* to = static_cast<Accumulator*>(accumulators);
    std::int64_t i = 0;
#if MILLRACE_HAS_VECTORS
    if constexpr (kHasVectors) {
      const hn::ScalableTag<Leaf> d;
      const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
      // Longer ones gain nothing from being combined side by side.
      if (stride == n && n % kFromOneLoad == 0 && n <= kFromOneLoad * lanes &&
          std::has_single_bit(static_cast<std::uint64_t>(n))) {
        i = dense_runs(d, from, count, n, to);
      } else if (n % lanes == 0 && n <= 8 * lanes) {
        for (; i + lanes <= count; i += lanes) {
          hn::StoreU(tree<hn::MaxLanes(d)>(d, from + i * stride, n, stride), d, to + i);
        }
      }
    }
#endif
    for (; i < count; ++i) to[i] = static_cast<Accumulator>(reduce(from + i * stride, n));
  }

  static void rows(const void* elements, std::int64_t columns, std::int64_t count, std::int64_t stride,
                   void* accumulators) {
    const auto* from = static_cast<const Stored*>(elements);
    auto* to = static_cast<Accumulator*>(accumulators);
    if constexpr (std::is_same_v<Leaf, Accumulator>) {
      combine_rows(from, columns, count, stride, to);
    } else {
      std::array<Leaf, static_cast<std::size_t>(kTile)> leaves;
      combine_rows(from, columns, count, stride, leaves.data());
      for (std::int64_t c = 0; c < columns; ++c) {
        to[c] = static_cast<Accumulator>(leaves[static_cast<std::size_t>(c)]);
      }
    }
  }

  static void merge(void* into, const void* from, std::int64_t count) {
    auto* const HWY_RESTRICT a = static_cast<Accumulator*>(into);
    const auto* const HWY_RESTRICT b = static_cast<const Accumulator*>(from);
    for (std::int64_t i = 0; i < count; ++i) a[i] = Fold::combine(a[i], b[i]);
  }

  static void clear(void* accumulator) {
    *static_cast<Accumulator*>(accumulator) = Fold::template identity<Accumulator>();
  }

 private:
  static Leaf reduce(const Stored* HWY_RESTRICT from, std::int64_t n) {
#if MILLRACE_HAS_VECTORS
    if constexpr (kHasVectors) return reduce_vectors(from, n);
#endif
    Leaf total = Fold::template identity<Leaf>();
    std::int64_t i = 0;
    while (i + kChains <= n) {
      std::array<Leaf, static_cast<std::size_t>(kChains)> chains;
      chains.fill(Fold::template identity<Leaf>());
      for (const std::int64_t end = std::min(i + kChainLength * kChains, n); i + kChains <= end;
           i += kChains) {
        for (std::int64_t k = 0; k < kChains; ++k) {
          Leaf& chain = chains[static_cast<std::size_t>(k)];
          chain = Fold::combine(chain, Fold::load(from[i + k]));
        }
      }
      total = Fold::combine(total, halve<kChains>(chains.data()));
    }
    for (; i < n; ++i) total = Fold::combine(total, Fold::load(from[i]));
    return total;
  }

  /// Combines values as a tree; their number is a power of two. Where it is known, the compiler is told: GCC
  /// 13 warns of what it makes of the other.
  template <std::int64_t n>
  static Leaf halve(Leaf* values) {
    if constexpr (n > 1) {
      for (std::int64_t k = 0; k < n / 2; ++k) values[k] = Fold::combine(values[k], values[k + n / 2]);
      return halve<n / 2>(values);
    }
    return values[0];
  }
  static Leaf halve(Leaf* values, std::int64_t n) {
    for (std::int64_t width = n / 2; width > 0; width /= 2) {
      for (std::int64_t k = 0; k < width; ++k) values[k] = Fold::combine(values[k], values[k + width]);
    }
    return values[0];
  }

  static void combine_rows(const Stored* from, std::int64_t columns, std::int64_t count, std::int64_t stride,
                           Leaf* HWY_RESTRICT to) {
    // Four at once, so that the accumulators are read and written once for all of them.
    std::int64_t row = count % 4;
    if (row == 0) {
      first_rows<4>(from, columns, stride, to);
      row = 4;
    } else if (row == 1) {
      first_rows<1>(from, columns, stride, to);
    } else if (row == 2) {
      first_rows<2>(from, columns, stride, to);
    } else {
      first_rows<3>(from, columns, stride, to);
    }
    for (; row < count; row += 4) four_rows(from + row * stride, columns, stride, to);
  }

  template <int kRows>
  static void first_rows(const Stored* from, std::int64_t columns, std::int64_t stride,
                         Leaf* HWY_RESTRICT to) {
    std::int64_t c = 0;
#if MILLRACE_HAS_VECTORS
    if constexpr (kHasVectors) {
      const hn::ScalableTag<Leaf> d;
      const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
      for (; c + lanes <= columns; c += lanes) {
        auto v = load(d, from + c);
        for (int k = 1; k < kRows; ++k) v = combine(Fold{}, v, load(d, from + k * stride + c));
        hn::StoreU(v, d, to + c);
      }
    }
#endif
    for (; c < columns; ++c) {
      Leaf value = Fold::load(from[c]);
      for (int k = 1; k < kRows; ++k) value = Fold::combine(value, Fold::load(from[k * stride + c]));
      to[c] = value;
    }
  }

  static void four_rows(const Stored* HWY_RESTRICT row0, std::int64_t columns, std::int64_t stride,
                        Leaf* HWY_RESTRICT to) {
    const Stored* HWY_RESTRICT row1 = row0 + stride;
    const Stored* HWY_RESTRICT row2 = row1 + stride;
    const Stored* HWY_RESTRICT row3 = row2 + stride;
    std::int64_t c = 0;
#if MILLRACE_HAS_VECTORS
    if constexpr (kHasVectors) {
      const hn::ScalableTag<Leaf> d;
      const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
      for (; c + lanes <= columns; c += lanes) {
        const auto a = combine(Fold{}, load(d, row0 + c), load(d, row1 + c));
        const auto b = combine(Fold{}, load(d, row2 + c), load(d, row3 + c));
        hn::StoreU(combine(Fold{}, hn::LoadU(d, to + c), combine(Fold{}, a, b)), d, to + c);
      }
    }
#endif
    for (; c < columns; ++c) {
      const Leaf a = Fold::combine(Fold::load(row0[c]), Fold::load(row1[c]));
      const Leaf b = Fold::combine(Fold::load(row2[c]), Fold::load(row3[c]));
      to[c] = Fold::combine(to[c], Fold::combine(a, b));
    }
  }

#if MILLRACE_HAS_VECTORS
  template <class D>
  static HWY_INLINE hn::Vec<D> load(D d, const Stored* from) {
    return loaded(Fold{}, load_vector<kType>(d, from));
  }

  /// Four vectors of a run that is looked at from front to back: independent chains hide the latency of an
  /// addition.
  template <class D>
  class Chains {
    using V = hn::Vec<D>;

   public:
    HWY_INLINE Chains(D d, const Stored* from) { load_four(d, from, v0_, v1_, v2_, v3_); }
    HWY_INLINE void step(D d, const Stored* from) {
      V w0, w1, w2, w3;
      load_four(d, from, w0, w1, w2, w3);
      v0_ = combine(Fold{}, v0_, w0);
      v1_ = combine(Fold{}, v1_, w1);
      v2_ = combine(Fold{}, v2_, w2);
      v3_ = combine(Fold{}, v3_, w3);
    }
    HWY_INLINE V together() const {
      return combine(Fold{}, combine(Fold{}, v0_, v1_), combine(Fold{}, v2_, v3_));
    }

   private:
    static HWY_INLINE void load_four(D d, const Stored* from, V& v0, V& v1, V& v2, V& v3) {
      load_two<kType>(d, from, v0, v1);
      load_two<kType>(d, from + 2 * hn::Lanes(d), v2, v3);
      v0 = loaded(Fold{}, v0);
      v1 = loaded(Fold{}, v1);
      v2 = loaded(Fold{}, v2);
      v3 = loaded(Fold{}, v3);
    }
    V v0_, v1_, v2_, v3_;
  };

  /// The combination of the lanes.
  template <class D>
  static Leaf fold_lanes(D d, hn::Vec<D> v) {
    HWY_ALIGN std::array<Leaf, hn::MaxLanes(d)> values;
    hn::StoreU(v, d, values.data());
    return halve(values.data(), static_cast<std::int64_t>(hn::Lanes(d)));
  }

  /// Elements after which chains begin anew: as many additions in a row as group allows rows, however narrow
  /// the vectors are.
  template <class D>
  static constexpr std::int64_t kStretch = kChainLength * 4 * static_cast<std::int64_t>(hn::MaxLanes(D()));

  static void four_places(const void* elements, std::int64_t n, std::int64_t distance, void* accumulators) {
    using D = hn::ScalableTag<Leaf>;
    const D d;
    static_assert(kRunBytes / sizeof(Stored) % (4 * hn::MaxLanes(d)) == 0, "a full run is whole steps");
    const auto step = static_cast<std::int64_t>(4 * hn::Lanes(d));
    const auto* HWY_RESTRICT from = static_cast<const Stored*>(elements);
    hn::Vec<D> va, vb, vc, ve;
    for (std::int64_t begin = 0; begin < n; begin += kStretch<D>) {
      const std::int64_t end = std::min(begin + kStretch<D>, n);
      const auto* HWY_RESTRICT at = from + begin;
      Chains<D> a(d, at), b(d, at + distance), c(d, at + 2 * distance), e(d, at + 3 * distance);
      for (std::int64_t i = begin + step; i < end; i += step) {
        for (std::int64_t place = 0; place < 4; ++place)
          prefetch(from + place * distance + i, step, kAheadOfFour);
        a.step(d, from + i);
        b.step(d, from + distance + i);
        c.step(d, from + 2 * distance + i);
        e.step(d, from + 3 * distance + i);
      }
      if (begin == 0) {
        va = a.together(), vb = b.together(), vc = c.together(), ve = e.together();
      } else {
        va = combine(Fold{}, va, a.together());
        vb = combine(Fold{}, vb, b.together());
        vc = combine(Fold{}, vc, c.together());
        ve = combine(Fold{}, ve, e.together());
      }
    }
    auto* to = static_cast<Accumulator*>(accumulators);
    to[0] = static_cast<Accumulator>(fold_lanes(d, va));
    to[1] = static_cast<Accumulator>(fold_lanes(d, vb));
    to[2] = static_cast<Accumulator>(fold_lanes(d, vc));
    to[3] = static_cast<Accumulator>(fold_lanes(d, ve));
  }

  static Leaf reduce_vectors(const Stored* HWY_RESTRICT from, std::int64_t n) {
    using D = hn::ScalableTag<Leaf>;
    const D d;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    const std::int64_t step = 4 * lanes;
    Leaf total = Fold::template identity<Leaf>();
    std::int64_t i = 0;
    if (n >= lanes) {
      hn::Vec<D> v;
      if (n < step) {
        v = load(d, from);
        i = lanes;
      }
      for (std::int64_t begin = 0; begin + step <= n; begin += kStretch<D>) {
        Chains<D> chains(d, from + begin);
        const std::int64_t end = std::min(begin + kStretch<D>, n);
        for (i = begin + step; i + step <= end; i += step) chains.step(d, from + i);
        v = begin == 0 ? chains.together() : combine(Fold{}, v, chains.together());
      }
      for (; i + lanes <= n; i += lanes) v = combine(Fold{}, v, load(d, from + i));
      total = fold_lanes(d, v);
    }
    for (; i < n; ++i) total = Fold::combine(total, Fold::load(from[i]));
    return total;
  }

  /// Neighbours in memory that one load puts into the same lane.
  static constexpr std::int64_t kFromOneLoad = kType == DType::bf16 ? 2 : 1;

  /// What is in memory, combined with its neighbours until 1/kVectors of it is left, which is one vector.
  template <std::int64_t kVectors, class D>
  static HWY_INLINE hn::Vec<D> dense_tree(D d, const Stored* from) {
    if constexpr (kVectors > 1) {
      const auto half = kVectors / 2 * kFromOneLoad * static_cast<std::int64_t>(hn::Lanes(d));
      const auto a = dense_tree<kVectors / 2>(d, from);
      const auto b = dense_tree<kVectors / 2>(d, from + half);
      return combine(Fold{}, hn::ConcatEven(d, b, a), hn::ConcatOdd(d, b, a));
    } else if constexpr (kFromOneLoad == 2) {
      hn::Vec<D> a, b;
      load_two<kType>(d, from, a, b);
      return combine(Fold{}, loaded(Fold{}, a), loaded(Fold{}, b));
    } else {
      return load(d, from);
    }
  }

  /// Runs that follow each other in memory, as many as fill vectors of results; returns how many those are.
  /// n: a power of two, from kFromOneLoad to as many as one load gives.
  template <class D>
  static std::int64_t dense_runs(D d, const Stored* from, std::int64_t count, std::int64_t n,
                                 Accumulator* to) {
    switch (n / kFromOneLoad) {
      case 1: return dense_runs_of<1>(d, from, count, to);
      case 2: return dense_runs_of<2>(d, from, count, to);
      case 4: return dense_runs_of<4>(d, from, count, to);
      case 8: return dense_runs_of<8>(d, from, count, to);
      default: return dense_runs_of<16>(d, from, count, to);
    }
  }

  template <std::int64_t kVectors, class D>
  static std::int64_t dense_runs_of(D d, const Stored* from, std::int64_t count, Accumulator* to) {
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    constexpr std::int64_t n = kVectors * kFromOneLoad;
    std::int64_t i = 0;
    for (; i + lanes <= count; i += lanes) {
      prefetch(from + i * n, lanes * n, kAheadOfOne);
      hn::StoreU(dense_tree<kVectors>(d, from + i * n), d, to + i);
    }
    return i;
  }

  /// kRows rows of n elements, n a multiple of the lanes: lane i becomes the combination of row i once kRows
  /// is the number of lanes. Each level folds pairs of neighbours of two vectors into one.
  template <std::size_t kRows, class D>
  static HWY_INLINE hn::Vec<D> tree(D d, const Stored* from, std::int64_t n, std::int64_t stride) {
    if constexpr (kRows == 1) {
      auto v = load(d, from);
      for (auto i = static_cast<std::int64_t>(hn::Lanes(d)); i < n;
           i += static_cast<std::int64_t>(hn::Lanes(d))) {
        v = combine(Fold{}, v, load(d, from + i));
      }
      return v;
    } else {
      const auto a = tree<kRows / 2>(d, from, n, stride);
      const auto b = tree<kRows / 2>(d, from + static_cast<std::int64_t>(kRows / 2) * stride, n, stride);
      return combine(Fold{}, hn::ConcatEven(d, b, a), hn::ConcatOdd(d, b, a));
    }
  }
#endif
};

/// The table of a fold whose results are written by Finish::finish(accumulator, work).
template <class Fold, DType kType, class Finish>
struct FoldReducer {
  static void finish(const void* accumulators, std::int64_t count, void* results, std::int64_t stride,
                     const ReduceWork& work) {
    const auto* from = static_cast<const typename Fold::Accumulator*>(accumulators);
    auto* to = static_cast<typename Finish::Result*>(results);
    for (std::int64_t i = 0; i < count; ++i) to[i * stride] = Finish::finish(from[i], work);
  }

  using L = Loops<Fold, kType>;
  static constexpr Reducer kTable{
      .element_bytes = sizeof(typename Fold::Stored),
      .accumulator_bytes = sizeof(typename Fold::Accumulator),
      .result_bytes = sizeof(typename Finish::Result),
      .run_bytes = L::kRunBytes,
      .group = kChainLength,
      .run = &L::run,
      .four_runs = L::four_runs(),
      .runs = &L::runs,
      .rows = &L::rows,
      .merge = &L::merge,
      .shift = nullptr,
      .clear = &L::clear,
      .finish = &finish,
  };
};

}  // namespace millrace::host::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
