// argmin and argmax.
#include "backends/host/reduce/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/host/reduce/position.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "backends/host/reduce/dispatch.h"
#include "backends/host/reduce/fold-inl.h"
#include "backends/host/reduce/reducer.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::host::HWY_NAMESPACE {
namespace {

template <DType kType, bool kIsMin>
class Positions {
  using Stored = typename Element<kType>::Stored;
  using Value = typename Element<kType>::Value;
  using Fold = ExtremeFold<kType, kIsMin>;

  /// The first of the best elements.
  struct Place {
    Value value;
    std::int64_t position;
  };

  static constexpr std::int64_t kGroup = 256;
  static constexpr std::int64_t kTile = kTileBytes / static_cast<std::int64_t>(sizeof(Place));

  // Better than what came before: a NaN is, unless that was one.
  static bool is_better(Value b, Value a) {
    const bool better = kIsMin ? b < a : b > a;
    if constexpr (is_floating(kType)) {
      return better | ((b != b) & (a == a));
    } else {
      return better;
    }
  }

  static bool is_same(Value a, Value b) {
    if constexpr (is_floating(kType)) {
      return (a == b) | ((a != a) & (b != b));
    } else {
      return a == b;
    }
  }

  static std::int64_t find(const Stored* from, std::int64_t n, Value value) {
    constexpr std::int64_t kTogether = 64;
    std::int64_t i = 0;
    for (; i + kTogether <= n; i += kTogether) {
      int found = 0;
      for (std::int64_t k = 0; k < kTogether; ++k) {
        found |= is_same(Element<kType>::load(from[i + k]), value) ? 1 : 0;
      }
      if (found != 0) break;
    }
    while (i < n && !is_same(Element<kType>::load(from[i]), value)) ++i;
    return i;
  }

#if MILLRACE_HAS_VECTORS
  using D = hn::ScalableTag<Value>;
  using V = hn::Vec<D>;
  using Indices = hn::RebindToSigned<D>;
  using I = hn::Vec<Indices>;

  /// In each lane the first of the best, and its number in that lane's column.
  struct Lanes {
    V value;
    I index;
  };

  static HWY_INLINE auto better(V b, V a) {
    return kIsMin ? hn::Lt(b, a) : hn::Gt(b, a);
  }

  static HWY_INLINE void take(V v, I index, Lanes& best) {
    const auto is = better(v, best.value);
    best.value = hn::IfThenElse(is, v, best.value);
    best.index = hn::IfThenElse(hn::RebindMask(Indices(), is), index, best.index);
  }

  /// Of positions now, not indices.
  static HWY_INLINE Lanes first_of(const Lanes& a, const Lanes& b) {
    const Indices indices;
    const auto earlier = hn::RebindMask(D(), hn::Lt(b.index, a.index));
    const auto is = hn::Or(better(b.value, a.value), hn::And(hn::Eq(b.value, a.value), earlier));
    return {hn::IfThenElse(is, b.value, a.value),
            hn::IfThenElse(hn::RebindMask(indices, is), b.index, a.index)};
  }

  /// Of n elements, a multiple of 4 vectors; -1 where one is NaN.
  static std::int64_t find_vectors(const Stored* HWY_RESTRICT from, std::int64_t n) {
    const D d;
    const Indices indices;
    using Index = hn::TFromD<Indices>;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    const auto load = [&](std::int64_t i) HWY_ATTR { return load_vector<kType>(d, from + i); };
    const I zero = hn::Zero(indices), one = hn::Set(indices, 1);
    Lanes best0{load(0), zero}, best1{load(lanes), zero};
    Lanes best2{load(2 * lanes), zero}, best3{load(3 * lanes), zero};
    auto nan = hn::Or(hn::Or(hn::IsNaN(best0.value), hn::IsNaN(best1.value)),
                      hn::Or(hn::IsNaN(best2.value), hn::IsNaN(best3.value)));
    I index = zero;
    for (std::int64_t i = 4 * lanes; i < n; i += 4 * lanes) {
      index = hn::Add(index, one);
      const V v0 = load(i), v1 = load(i + lanes), v2 = load(i + 2 * lanes), v3 = load(i + 3 * lanes);
      nan = hn::Or(nan, hn::Or(hn::Or(hn::IsNaN(v0), hn::IsNaN(v1)), hn::Or(hn::IsNaN(v2), hn::IsNaN(v3))));
      take(v0, index, best0);
      take(v1, index, best1);
      take(v2, index, best2);
      take(v3, index, best3);
    }
    if (!hn::AllFalse(d, nan)) return -1;
    const I stride = hn::Set(indices, static_cast<Index>(4 * lanes));
    const auto position = [&](Lanes& best, std::int64_t chain) HWY_ATTR {
      const I first = hn::Iota(indices, static_cast<Index>(chain * lanes));
      best.index = hn::Add(hn::Mul(best.index, stride), first);
    };
    position(best0, 0);
    position(best1, 1);
    position(best2, 2);
    position(best3, 3);
    const Lanes best = first_of(first_of(best0, best1), first_of(best2, best3));
    const V value = kIsMin ? hn::MinOfLanes(d, best.value) : hn::MaxOfLanes(d, best.value);
    const I last = hn::Set(indices, std::numeric_limits<Index>::max());
    const auto is_best = hn::RebindMask(indices, hn::Eq(best.value, value));
    return hn::GetLane(hn::MinOfLanes(indices, hn::IfThenElse(is_best, best.index, last)));
  }
#endif

  /// The position of the first of the best elements.
  static std::int64_t find_best(const Stored* from, std::int64_t n) {
#if MILLRACE_HAS_VECTORS
    if constexpr (is_floating(kType)) {
      const auto step = static_cast<std::int64_t>(4 * hn::Lanes(D()));
      const std::int64_t whole = n / step * step;
      std::int64_t position = whole > 0 ? find_vectors(from, whole) : -1;
      if (position >= 0) {
        for (std::int64_t i = whole; i < n; ++i) {
          if (is_better(Element<kType>::load(from[i]), Element<kType>::load(from[position]))) position = i;
        }
        return position;
      }
    }
#endif
    Value best{};
    Loops<Fold, kType>::run(from, n, &best);
    return find(from, n, best);
  }

 public:
  static void run(const void* elements, std::int64_t n, void* accumulator) {
    const auto* from = static_cast<const Stored*>(elements);
    const std::int64_t position = find_best(from, n);
    // Zeros of either sign are equal: the value is that of the first.
    *static_cast<Place*>(accumulator) = {Element<kType>::load(from[position]), position};
  }

  static void rows(const void* elements, std::int64_t columns, std::int64_t count, std::int64_t stride,
                   void* accumulators) {
    const auto* HWY_RESTRICT from = static_cast<const Stored*>(elements);
    std::array<Value, static_cast<std::size_t>(kTile)> best;
    std::array<std::int32_t, static_cast<std::size_t>(kTile)> positions{};
    Value* const HWY_RESTRICT values = best.data();
    std::int32_t* const HWY_RESTRICT places = positions.data();
    for (std::int64_t c = 0; c < columns; ++c) values[c] = Element<kType>::load(from[c]);
    for (std::int32_t row = 1; row < count; ++row) {
      from += stride;
      for (std::int64_t c = 0; c < columns; ++c) {
        const Value value = Element<kType>::load(from[c]);
        const bool better = is_better(value, values[c]);
        values[c] = better ? value : values[c];
        places[c] = better ? row : places[c];
      }
    }
    auto* to = static_cast<Place*>(accumulators);
    for (std::int64_t c = 0; c < columns; ++c) to[c] = {values[c], places[c]};
  }

  static void merge(void* into, const void* from, std::int64_t count) {
    auto* a = static_cast<Place*>(into);
    const auto* b = static_cast<const Place*>(from);
    for (std::int64_t i = 0; i < count; ++i) {
      if (is_better(b[i].value, a[i].value)) a[i] = b[i];
    }
  }

  static void shift(void* accumulators, std::int64_t count, std::int64_t position) {
    auto* places = static_cast<Place*>(accumulators);
    for (std::int64_t i = 0; i < count; ++i) places[i].position += position;
  }

  static void clear(void* accumulator) {
    *static_cast<Place*>(accumulator) = {};
  }

  static void finish(const void* accumulators, std::int64_t count, void* results, std::int64_t stride,
                     const ReduceWork& work) {
    const auto* from = static_cast<const Place*>(accumulators);
    auto* to = static_cast<std::int64_t*>(results);
    for (std::int64_t i = 0; i < count; ++i) to[i * stride] = from[i].position;
    if (work.values == nullptr) return;
    auto* values = static_cast<Stored*>(work.values) + (to - static_cast<std::int64_t*>(work.output));
    for (std::int64_t i = 0; i < count; ++i) values[i * stride] = Element<kType>::store(from[i].value);
  }

  static constexpr Reducer kTable{
      .element_bytes = sizeof(Stored),
      .accumulator_bytes = sizeof(Place),
      .result_bytes = sizeof(std::int64_t),
      .run_bytes = kPage,
      .group = kGroup,
      .run = &run,
      .four_runs = nullptr,
      .runs = &runs_one_by_one<Stored, Place, &run>,
      .rows = &rows,
      .merge = &merge,
      .shift = &shift,
      .clear = &clear,
      .finish = &finish,
  };
};

}  // namespace

const Reducer* position_table(ReduceOp op, DType dtype) {
  return for_type(dtype, [op]<DType kType>() -> const Reducer* {
    return op == ReduceOp::argmin ? &Positions<kType, true>::kTable : &Positions<kType, false>::kTable;
  });
}

}  // namespace millrace::host::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::host {
HWY_EXPORT(position_table);
const Reducer& position_reducer(ReduceOp op, DType dtype) noexcept {
  return *HWY_DYNAMIC_DISPATCH(position_table)(op, dtype);
}
}  // namespace millrace::host
#endif
