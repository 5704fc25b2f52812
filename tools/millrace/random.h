// Numbers that a seed repeats on every machine, which the standard distributions do not promise.
#pragma once

#include <cmath>
#include <cstdint>

namespace millrace::tool {

/// splitmix64: any seed will do, also 0, 1, 2...
///
/// Thread safety: one thread at a time.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  /// For one of many: iteration 7 of seed 3 is the same whichever thread runs it.
  Random(std::uint64_t seed, std::uint64_t index) : state_(Random(seed).next() ^ Random(~index).next()) {}

  std::uint64_t next() {
    state_ += 0x9E3779B97F4A7C15U;
    std::uint64_t z = state_;
    z = (z ^ z >> 30U) * 0xBF58476D1CE4E5B9U;
    z = (z ^ z >> 27U) * 0x94D049BB133111EBU;
    return z ^ z >> 31U;
  }

  /// From 0 to below the limit, which is not 0; the bias is below 2^-32 for limits below 2^32.
  std::uint64_t below(std::uint64_t limit) { return next() % limit; }
  bool one_in(std::uint64_t n) { return below(n) == 0; }
  /// From 0 to below 1.
  double unit() { return static_cast<double>(next() >> 11U) * 0x1p-53; }
  double between(double low, double high) { return low + (high - low) * unit(); }
  /// Mean 0, deviation 1.
  double normal() {
    return std::sqrt(-2 * std::log(1 - unit())) * std::cos(2 * 3.14159265358979323846 * unit());
  }
  /// Evenly over the logarithm.
  std::uint64_t log_uniform(std::uint64_t low, std::uint64_t high) {
    return static_cast<std::uint64_t>(
        std::exp(between(std::log(static_cast<double>(low)), std::log(static_cast<double>(high)))));
  }

 private:
  std::uint64_t state_;
};

}  // namespace millrace::tool
