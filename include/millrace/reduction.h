// What can be computed over a tensor, and what the result looks like.
#pragma once

#include <cstdint>
#include <span>

#include <millrace/dtype.h>
#include <millrace/export.h>
#include <millrace/tensor.h>

namespace millrace {

/// What a reduction computes.
enum class ReduceOp : std::uint8_t {
  sum,
  mean,
  prod,
  min,
  max,
  argmin,  ///< the position of the first smallest element, counted through the reduced dimensions in order
  argmax,  ///< of the first largest
  any,     ///< is an element not zero? NaN is not
  all,     ///< is none zero?
  var,     ///< squared distances from the mean, over count - ReduceOptions::correction
  std,     ///< the square root of var
  norm,    ///< the square root of the sum of squares
  count_zero,
  count_nan,
  count_inf,
};

inline constexpr int kReduceOpCount = 15;

/// "sum", "mean", and so on.
MILLRACE_API const char* to_string(ReduceOp op) noexcept;

/// The type of the result: NumPy's rule.
///
/// sum, prod: i64 for integers and bool, else the input's type. mean, var, std, norm: f64 for integers and
/// bool, else the input's type. min, max: the input's type. argmin, argmax and the counts: i64. any, all:
/// bool.
MILLRACE_API DType result_dtype(ReduceOp op, DType input) noexcept;

/// What some operations want to know besides; the others do not look.
struct ReduceOptions {
  /// var and std divide by the count less this, or by 0 where that is negative: 0 is NumPy's default, 1
  /// PyTorch's.
  double correction = 0;
};

/// The shape of the result. dims may be negative (from the end); empty means all of them. With keep,
/// reduced dimensions stay with size 1. Throws InvalidArgument on a dimension out of range or twice.
MILLRACE_API Dims result_shape(const Dims& shape, std::span<const std::int64_t> dims, bool keep);

/// What one pass over a tensor finds. Sums and extremes are over the finite values.
struct Statistics {
  std::int64_t count = 0;  ///< elements, finite or not
  std::int64_t nan = 0;
  std::int64_t inf = 0;    ///< of either sign
  std::int64_t zeros = 0;  ///< of either sign
  double sum = 0;
  double mean = 0;    ///< 0 where no value is finite
  double m2 = 0;      ///< sum of squared distances from the mean
  double min = 0;     ///< +inf where no value is finite
  double max = 0;     ///< -inf where no value is finite
  double absmax = 0;  ///< 0 where no value is finite

  std::int64_t finite() const noexcept { return count - nan - inf; }
};

/// What the two halves of a tensor found, put together.
MILLRACE_API Statistics combine(const Statistics& a, const Statistics& b) noexcept;
/// The population standard deviation of the finite values; NaN where there is none.
MILLRACE_API double standard_deviation(const Statistics& s) noexcept;

}  // namespace millrace
