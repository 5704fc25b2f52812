// Operations that combine two values to one of the same kind: what is combined, in which type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include <millrace/dtype.h>
#include <millrace/reduction.h>

#include "backends/host/reduce/element.h"

namespace millrace::host {

/// Elements are combined as Leaf in short runs (at most kRun), whose results are combined as Accumulator.
/// Integers of up to two bytes are summed in leaves of four: that is twice as fast as eight, and a run can't
/// overflow them. Other integers wrap, so they are computed with as unsigned.
///
/// The members of a fold are combine, which takes two leaves or two accumulators, identity, which combine
/// does not notice, and load.
template <DType kType>
inline constexpr bool kIsShortInteger = !is_floating(kType) && size_of(kType) <= 2;

template <DType kType, typename Wide>
using SumLeaf = std::conditional_t<is_floating(kType), typename Element<kType>::Value,
                                   std::conditional_t<kIsShortInteger<kType>, std::int32_t, Wide>>;

template <typename Leaf>
using Widened = std::conditional_t<std::is_same_v<Leaf, std::int32_t>, std::int64_t, Leaf>;

/// The part of a fold that says how: by adding.
struct AddingFold {
  template <typename T>
  [[gnu::always_inline]] static T combine(T a, T b) noexcept {
    return a + b;
  }
  template <typename T>
  static constexpr T identity() noexcept {
    return T{0};
  }
};

/// Wide: what integers of more than two bytes are summed in.
template <DType kType, typename Wide>
struct SumFold : AddingFold {
  using Stored = typename Element<kType>::Stored;
  using Leaf = SumLeaf<kType, Wide>;
  using Accumulator = Widened<Leaf>;
  static constexpr bool kIsVector = is_floating(kType);

  [[gnu::always_inline]] static Leaf load(Stored stored) noexcept {
    return static_cast<Leaf>(Element<kType>::load(stored));
  }
};

template <DType kType>
struct SquareFold : AddingFold {
  using Stored = typename Element<kType>::Stored;
  using Leaf = std::conditional_t<is_floating(kType), typename Element<kType>::Value, double>;
  using Accumulator = Leaf;
  static constexpr bool kIsVector = is_floating(kType);

  [[gnu::always_inline]] static Leaf load(Stored stored) noexcept {
    const auto value = static_cast<Leaf>(Element<kType>::load(stored));
    return value * value;
  }
};

template <DType kType>
struct ProdFold {
  using Stored = typename Element<kType>::Stored;
  using Leaf = std::conditional_t<is_floating(kType), typename Element<kType>::Value, std::uint64_t>;
  using Accumulator = Leaf;
  static constexpr bool kIsVector = is_floating(kType);

  [[gnu::always_inline]] static Leaf load(Stored stored) noexcept {
    return static_cast<Leaf>(Element<kType>::load(stored));
  }
  template <typename T>
  [[gnu::always_inline]] static T combine(T a, T b) noexcept {
    return a * b;
  }
  template <typename T>
  static constexpr T identity() noexcept {
    return T{1};
  }
};

/// NaN wins from either side.
template <DType kType, bool kIsMin>
struct ExtremeFold {
  using Stored = typename Element<kType>::Stored;
  using Leaf = typename Element<kType>::Value;
  using Accumulator = Leaf;
  static constexpr bool kIsVector = is_floating(kType);

  [[gnu::always_inline]] static Leaf load(Stored stored) noexcept { return Element<kType>::load(stored); }
  template <typename T>
  [[gnu::always_inline]] static T combine(T a, T b) noexcept {
    T extreme = (kIsMin ? b < a : b > a) ? b : a;
    // A NaN in a stays by itself. Two choices, since loops over one with an "or" are not vectorised.
    if constexpr (is_floating(kType)) extreme = b != b ? b : extreme;
    return extreme;
  }
  template <typename T>
  static constexpr T identity() noexcept {
    using Limits = std::numeric_limits<T>;
    if constexpr (Limits::has_infinity) return kIsMin ? Limits::infinity() : -Limits::infinity();
    return kIsMin ? Limits::max() : Limits::lowest();
  }
};

/// any and all: combines 0 and 1.
template <DType kType, bool kIsAny>
struct LogicFold {
  using Stored = typename Element<kType>::Stored;
  using Leaf = std::int32_t;
  using Accumulator = std::int32_t;
  static constexpr bool kIsVector = false;

  [[gnu::always_inline]] static Leaf load(Stored stored) noexcept { return is_zero<kType>(stored) ? 0 : 1; }
  template <typename T>
  [[gnu::always_inline]] static T combine(T a, T b) noexcept {
    return kIsAny ? (a | b) : (a & b);
  }
  template <typename T>
  static constexpr T identity() noexcept {
    return kIsAny ? 0 : 1;
  }
};

/// Counts elements of a kind.
template <DType kType, ReduceOp kOp>
struct CountFold : AddingFold {
  using Stored = typename Element<kType>::Stored;
  using Leaf = std::int32_t;
  using Accumulator = std::int64_t;
  static constexpr bool kIsVector = false;

  [[gnu::always_inline]] static Leaf load(Stored stored) noexcept {
    if constexpr (kOp == ReduceOp::count_zero) return is_zero<kType>(stored) ? 1 : 0;
    if constexpr (kOp == ReduceOp::count_nan) return is_nan<kType>(stored) ? 1 : 0;
    return is_inf<kType>(stored) ? 1 : 0;
  }
};

}  // namespace millrace::host
