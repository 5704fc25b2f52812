// Two runs of elements held against each other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include <millrace/dtype.h>

namespace millrace::tool {

/// How elements differ. Values are compared, not bits, but for `identical`: zeros of either sign are equal,
/// and so are NaNs. Differences, their maximum and the norms are over pairs of finite values.
struct Difference {
  std::uint64_t count = 0;
  std::uint64_t differing = 0;     ///< pairs that are not equal
  std::uint64_t nan_mismatch = 0;  ///< of those: one is NaN
  std::uint64_t inf_mismatch = 0;  ///< of those: none is NaN, one is infinite
  std::uint64_t finite = 0;        ///< pairs that are both finite
  bool identical = true;           ///< of the same type, bit for bit
  double max_abs = 0;
  double squares = 0;        ///< sum of squared differences
  double first_squares = 0;  ///< sum of squares of the first

  /// Nothing where no pair is finite.
  std::optional<double> rms() const;
  /// The norm of the differences over that of the first; nothing where that is zero and they are not.
  std::optional<double> relative() const;
};

/// What two halves of a tensor found, put together.
Difference combine(const Difference& a, const Difference& b) noexcept;

/// count elements each, dense, at any address. Integers are compared exactly, against floats too.
///
/// Thread safety: any thread.
Difference compare_elements(DType first_type, const std::byte* first, DType second_type,
                            const std::byte* second, std::size_t count);

}  // namespace millrace::tool
