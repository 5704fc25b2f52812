// Random numbers that a failing run tells how to repeat.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>

namespace millrace::test {

/// MILLRACE_SEED, or a new one; printed, so that the run can be repeated.
inline std::uint64_t seed_of_run() {
  const char* given = std::getenv("MILLRACE_SEED");
  const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device()();
  std::printf("[ SEED     ] MILLRACE_SEED=%llu\n", static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  return seed;
}

/// SplitMix64. Thread safety: one thread at a time; give each its own, with its number as the lane.
class Random {
 public:
  explicit Random(std::uint64_t seed, std::uint64_t lane = 0) : state_(seed + lane * 0xd1342543de82ef95ull) {}

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
  /// 0 to bound - 1.
  std::size_t below(std::size_t bound) { return static_cast<std::size_t>(next() % bound); }
  bool one_in(std::size_t n) { return below(n) == 0; }
  /// least to most, each doubling as likely as the others.
  std::size_t log_uniform(std::size_t least, std::size_t most) {
    const int doublings = std::bit_width(most / least);
    const std::size_t low = least << below(static_cast<std::size_t>(doublings));
    const std::size_t value = low + below(low);
    return value > most ? most : value;
  }

 private:
  std::uint64_t state_;
};

}  // namespace millrace::test
