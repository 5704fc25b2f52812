// Merging rows of accumulators as a balanced tree would.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "backends/host/reduce/reducer.h"

namespace millrace::host {

/// Merges rows of accumulators, of which there may be any number, as a balanced tree of them: rounding errors
/// grow with the logarithm of their number.
///
/// Thread safety: one thread at a time.
class Cascade {
 public:
  /// rows: at most that many come between two clears.
  static std::size_t scratch_bytes(std::size_t row_bytes, std::int64_t rows) noexcept {
    return row_bytes * (std::size_t{2} + std::bit_width(static_cast<std::uint64_t>(rows)));
  }

  /// scratch: scratch_bytes of the widest row, aligned for any accumulator.
  Cascade(const Reducer& reducer, std::byte* scratch) noexcept : reducer_(reducer), scratch_(scratch) {}

  /// width: accumulators a row.
  void clear(std::int64_t width) noexcept {
    width_ = width;
    row_bytes_ = static_cast<std::size_t>(width) * reducer_.accumulator_bytes;
    pushed_ = 0;
    depth_ = 0;
  }
  bool empty() const noexcept { return pushed_ == 0; }

  /// Where the next row goes; then push.
  std::byte* next() noexcept { return level(depth_); }
  void push() noexcept {
    // The row is merged downwards as far as a binary counter carries.
    for (std::uint64_t full = pushed_++; (full & 1) != 0; full >>= 1) {
      reducer_.merge(level(depth_ - 1), level(depth_), width_);
      --depth_;
    }
    ++depth_;
  }

  /// Of at least one row. Valid until the next clear; nothing is pushed after it.
  std::byte* total() noexcept {
    for (; depth_ > 1; --depth_) reducer_.merge(level(depth_ - 2), level(depth_ - 1), width_);
    return level(0);
  }

 private:
  std::byte* level(std::size_t depth) noexcept { return scratch_ + depth * row_bytes_; }

  const Reducer& reducer_;
  std::byte* const scratch_;
  std::int64_t width_ = 0;
  std::size_t row_bytes_ = 0;
  std::uint64_t pushed_ = 0;
  std::size_t depth_ = 0;  // levels in use: the number of ones in pushed_
};

}  // namespace millrace::host
