// Means and squared distances from them, as var, std and statistics need them.
#pragma once

#include <cstdint>

#include "backends/cuda/reduce/element.cuh"

namespace millrace::cuda {

/// Of values that were seen.
struct Moments {
  double count;
  double mean;
  double
      m2;  ///< squared distances from the mean; NaN once a value was not finite, inf where doubles overflow
};

__device__ inline void merge_moments(Moments& a, const Moments& b) {
  if (b.count == 0) return;
  if (a.count == 0) {
    a = b;
    return;
  }
  // Chan, Golub and LeVeque: the parts' own squares plus what the distance of their means adds.
  const double both = a.count + b.count;
  const double distance = b.mean - a.mean;
  const double part = b.count / both;
  double m2 = a.m2 + b.m2 + distance * distance * part * a.count;
  // Means past what doubles hold have no distance: that is an overflow like others.
  if (is_nan(m2) && !is_nan(a.m2) && !is_nan(b.m2)) m2 = infinity();
  a.mean += distance * part;
  a.m2 = m2;
  a.count = both;
}

/// What a thread knows of its values. Sums are of distances from a value close to the mean, and of few values
/// at a time: squares of the values themselves would cancel where the mean is large, and a step of an exact
/// running mean costs a division.
struct RunningMoments {
  Moments all = {0, 0, 0};  ///< but the last few
  double shift = 0;
  double sum = 0;
  double squares = 0;
  int few = 0;
  bool odd = false;  ///< one of the few was not finite

  /// Before values are added: of the first ever, which is taken for the mean until there is one.
  __device__ void begin(double value) {
    if (few == 0 && all.count == 0) shift = value;
  }
  /// kMayOverflow: are there finite values whose squares doubles don't hold?
  template <bool kMayOverflow>
  __device__ void add(double value) {
    const double distance = value - shift;
    sum += distance;
    squares += distance * distance;
    ++few;
    if constexpr (kMayOverflow) odd = odd || !is_finite(value);
  }

  template <bool kMayOverflow>
  __device__ void settle() {
    constexpr int kFew = 128;
    if (few >= kFew) flush<kMayOverflow>();
  }

  template <bool kMayOverflow>
  __device__ void flush() {
    if (few == 0) return;
    const double n = few;
    Moments last = {n, shift + sum / n, 0};
    if (is_finite(squares)) {
      const double m2 = squares - sum * (sum / n);
      last.m2 = m2 > 0 ? m2 : 0;
    } else {
      last.m2 = kMayOverflow && !odd ? infinity() : not_a_number();
    }
    merge_moments(all, last);
    if (is_finite(all.mean)) shift = all.mean;
    sum = 0;
    squares = 0;
    few = 0;
    odd = false;
  }
};

}  // namespace millrace::cuda
