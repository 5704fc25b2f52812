// argmin and argmax.
#include "backends/host/reduce/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backends/host/reduce/position.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <array>
#include <cstddef>
#include <cstdint>

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
#if MILLRACE_HAS_VECTORS
    if constexpr (is_floating(kType)) {
      const hn::ScalableTag<Value> d;
      const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
      const auto wanted = hn::Set(d, value);
      std::int64_t i = 0;
      if (value == value) {
        for (; i + lanes <= n; i += lanes) {
          const auto found = hn::Eq(load_vector<kType>(d, from + i), wanted);
          if (!hn::AllFalse(d, found)) return i + hn::FindFirstTrue(d, found);
        }
      }
      while (i < n && !is_same(Element<kType>::load(from[i]), value)) ++i;
      return i;
    }
#endif
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

 public:
  static void run(const void* elements, std::int64_t n, void* accumulator) {
    const auto* from = static_cast<const Stored*>(elements);
    Value best{};
    Loops<Fold, kType>::run(elements, n, &best);
    const std::int64_t position = find(from, n, best);
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
      .group = kGroup,
      .run = &run,
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
