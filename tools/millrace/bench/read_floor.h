// How fast memory can be read here: the floor that a reduction's time is held against.
#pragma once

#include <cstddef>
#include <span>

namespace millrace::tool {

/// Seconds that this many threads take to read all of bytes once, each its own part of it, with vector
/// loads and next to nothing to compute. Tries two orders, since which is faster depends on the machine and
/// on its pages: from first to last, and in four places in turn; the better one counts.
double time_reading(std::span<const std::byte> bytes, int threads);

/// The same in one pass: tries both orders the first time, and from then on takes the one that was faster
/// then. A pass right behind another finds part of what it reads, and of the page tables, in the last-level
/// cache, which is no floor for who comes after somebody else.
///
/// Thread safety: one thread at a time.
class ReadFloor {
 public:
  /// bytes must outlive it.
  ReadFloor(std::span<const std::byte> bytes, int threads) : bytes_(bytes), threads_(threads) {}
  /// Seconds.
  double time();

 private:
  const std::span<const std::byte> bytes_;
  const int threads_;
  enum class Order { unknown, front_to_back, four_places } order_ = Order::unknown;
};

}  // namespace millrace::tool
