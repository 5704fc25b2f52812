// The five reductions for each element type: what is accumulated, in which type, and what comes out.
#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

#include <millrace/dtype.h>
#include <millrace/reduction.h>

#include "backends/host/reduce_kernels_element.h"

namespace millrace::host {

/// A reduction of elements of one type.
///
/// Elements are combined as Leaf in short runs (at most kLeafRun), whose results are combined as Acc.
/// Integers of up to two bytes are summed in leaves of four: that is twice as fast as eight, and a
/// run can't overflow them. Other integers wrap, so they are computed with as unsigned.
template <ReduceOp kOp, DType kType>
struct Reduction {
  using Input = Element<kType>;
  using Stored = typename Input::Stored;
  using Value = typename Input::Value;

  static constexpr bool kIsBoolean = kType == DType::boolean;
  static constexpr bool kIsExtreme = kOp == ReduceOp::min || kOp == ReduceOp::max;
  static constexpr bool kKeepsType = kIsExtreme || is_floating(kType);
  static constexpr bool kIsSmall = !is_floating(kType) && size_of(kType) <= 2;

  using WideLeaf = std::conditional_t<kOp == ReduceOp::mean, double, std::uint64_t>;
  using IntegerLeaf = std::conditional_t<kIsSmall && kOp != ReduceOp::prod, std::int32_t, WideLeaf>;
  using Leaf = std::conditional_t<kKeepsType, Value, IntegerLeaf>;
  using Acc = std::conditional_t<!kKeepsType && std::is_same_v<Leaf, std::int32_t>, std::int64_t, Leaf>;
  using Output =
      std::conditional_t<kKeepsType, Stored, std::conditional_t<kOp == ReduceOp::mean, double, std::int64_t>>;

  [[gnu::always_inline]] static Leaf load(Stored stored) noexcept {
    return static_cast<Leaf>(Input::load(stored));
  }

  /// T: Leaf, Acc, or a vector of either. NaN wins min and max from either side.
  template <typename T>
  [[gnu::always_inline]] static T combine(T a, T b) noexcept {
    if constexpr (kOp == ReduceOp::prod) {
      return a * b;
    } else if constexpr (!kIsExtreme) {
      return a + b;
    } else {
      T extreme;
      if constexpr (kOp == ReduceOp::min) extreme = b < a ? b : a;
      if constexpr (kOp == ReduceOp::max) extreme = b > a ? b : a;
      // A NaN in a stays by itself. Two choices, since loops over one with an "or" are not vectorised.
      if constexpr (is_floating(kType)) extreme = b != b ? b : extreme;
      return extreme;
    }
  }

  /// What combine does not notice.
  static constexpr Leaf identity() noexcept {
    using Limits = std::numeric_limits<Leaf>;
    if constexpr (!kIsExtreme) return static_cast<Leaf>(kOp == ReduceOp::prod ? 1 : 0);
    if constexpr (Limits::has_infinity) {
      return kOp == ReduceOp::min ? Limits::infinity() : -Limits::infinity();
    } else {
      return kOp == ReduceOp::min ? Limits::max() : Limits::lowest();
    }
  }

  static Output finish(Acc total, std::int64_t count) noexcept {
    if constexpr (kOp == ReduceOp::mean) {
      const double mean = count == 0 ? std::numeric_limits<double>::quiet_NaN()
                                     : static_cast<double>(total) / static_cast<double>(count);
      if constexpr (kKeepsType) {
        return Input::store(static_cast<Value>(mean));
      } else {
        return mean;
      }
    } else if constexpr (kKeepsType) {
      return Input::store(total);
    } else {
      return static_cast<std::int64_t>(total);
    }
  }
};

}  // namespace millrace::host
