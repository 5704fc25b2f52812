// Sums and squares of f16 and bf16.
#pragma once

#include <cstdint>

#include "backends/cuda/reduce/element.cuh"
#include "backends/cuda/reduce/load.cuh"
#include "backends/cuda/reduce/spread.cuh"
#include "backends/cuda/reduce/sums.cuh"

namespace millrace::cuda {

/// What a thread knows of its f16 or bf16. Squares of these are doubles without any rounding, and those of a
/// few are added without any where the values are of about one size; where they are not, their variance is so
/// large that what is rounded off does not count. So no distance from a mean is needed, and no division.
struct HalfPowers {
  double few_sum = 0;
  double few_squares = 0;
  CompensatedSum sum = {0, 0};
  CompensatedSum squares = {0, 0};

  __device__ void add(double value) {
    few_sum += value;
    few_squares = fma(value, value, few_squares);
  }
  template <DType kType>
  __device__ void add(const Vector<kType>& vector) {
#pragma unroll
    for (int i = 0; i < Vector<kType>::kElements; ++i) add(static_cast<double>(vector[i]));
  }
  /// After at most 64 values.
  __device__ void settle() {
    sum.add(few_sum);
    squares.add(few_squares);
    few_sum = few_squares = 0;
  }

  /// Of that many values, after settle. m2 is NaN if one of them was not finite.
  __device__ Moments moments(std::int64_t count) const {
    if (count == 0) return {0, 0, 0};
    const auto n = static_cast<double>(count);
    // n times the squares less the sum's square, each with what it rounds off.
    const double all = n * squares.sum, square = sum.sum * sum.sum;
    const double lost = (fma(n, squares.sum, -all) + n * squares.lost) -
                        (fma(sum.sum, sum.sum, -square) + 2 * sum.sum * sum.lost);
    const double m2 = ((all - square) + lost) / n;
    return {n, sum.value() / n, !is_finite(squares.sum) ? not_a_number() : m2 > 0 ? m2 : 0};
  }
};

}  // namespace millrace::cuda
