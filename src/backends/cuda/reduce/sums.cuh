// What sums are made in.
#pragma once

#include <cstdint>

#include "backends/cuda/reduce/element.cuh"

namespace millrace::cuda {

/// A sum in double of any number of doubles, exact to about the last place: what each addition rounds off is
/// summed beside it. Infinities and NaN come out as they do of plain additions.
struct CompensatedSum {
  double sum;
  double lost;

  __device__ void add(double value) {
    // Knuth's exact sum of two: no order of size is asked for, and none of these is contracted with a
    // product.
    const double total = __dadd_rn(sum, value);
    const double part = __dadd_rn(total, -sum);
    lost += __dadd_rn(__dadd_rn(sum, -__dadd_rn(total, -part)), __dadd_rn(value, -part));
    sum = total;
  }
  __device__ void add(const CompensatedSum& other) {
    add(other.sum);
    lost += other.lost;
  }
  __device__ double value() const { return is_finite(lost) ? sum + lost : sum; }
};

/// One that cannot lose anything, or loses far less than the result's type has places.
template <typename T>
struct PlainSum {
  T sum;

  __device__ void add(T value) { sum += value; }
  __device__ void add(const PlainSum& other) { sum += other.sum; }
  __device__ T value() const { return sum; }
};

}  // namespace millrace::cuda
