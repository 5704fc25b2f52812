// Rows of accumulators: for reductions whose results lie denser in memory than what each combines.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "backends/host/reduce_kernels_dense.h"

namespace millrace::host {

/// Combines rows of equal width element by element, as Cascade combines values.
///
/// Thread safety: one thread at a time.
template <typename R>
class RowCascade {
 public:
  using Leaf = typename R::Leaf;
  using Acc = typename R::Acc;
  using Stored = typename R::Stored;

  /// rows: at most that many are pushed or added between two clears.
  RowCascade(std::int64_t width, std::int64_t rows)
      : capacity_(width),
        group_(std::make_unique_for_overwrite<Leaf[]>(static_cast<std::size_t>(width))),
        levels_(std::make_unique_for_overwrite<Acc[]>(static_cast<std::size_t>(width * level_count(rows)))) {}

  /// width: at most the one of construction.
  void clear(std::int64_t width) noexcept {
    width_ = width;
    grouped_ = 0;
    pushed_ = 0;
    depth_ = 0;
  }

  /// Adds count rows of elements, row_stride apart, whose elements are stride apart.
  void add(const Stored* from, std::int64_t stride, std::int64_t count, std::int64_t row_stride) noexcept {
    while (count > 0) {
      if (grouped_ == 0) {
        store(from, stride);
        from += row_stride;
        --count;
        grouped_ = 1;
      }
      for (; count >= kTogether && grouped_ + kTogether <= kGroup; count -= kTogether) {
        add_together(from, stride, row_stride);
        from += kTogether * row_stride;
        grouped_ += kTogether;
      }
      for (; count > 0 && grouped_ < kGroup && (count < kTogether || grouped_ + kTogether > kGroup);
           --count) {
        add_one(from, stride);
        from += row_stride;
        ++grouped_;
      }
      if (grouped_ == kGroup) push_group();
    }
  }

  /// Adds a row of results.
  void push(const Acc* row) noexcept {
    Acc* to = level(depth_);
    for (std::int64_t i = 0; i < width_; ++i) to[i] = row[i];
    settle();
  }

  bool empty() const noexcept { return grouped_ == 0 && pushed_ == 0; }

  /// Of at least one row. Valid until the next clear; nothing is added after it.
  Acc* total() noexcept {
    if (grouped_ > 0) push_group();
    while (depth_ > 1) {
      --depth_;
      merge(level(depth_ - 1), level(depth_));
    }
    return level(0);
  }

 private:
  // Chains no longer than those of NumPy's pairwise sum, whose blocks are 128 elements in 8 chains.
  static constexpr int kGroup = 32;
  static constexpr int kTogether = 4;

  static std::int64_t level_count(std::int64_t rows) noexcept {
    return static_cast<std::int64_t>(std::bit_width(static_cast<std::uint64_t>(rows))) + 2;
  }
  Acc* level(std::int64_t depth) noexcept { return levels_.get() + depth * capacity_; }

  void store(const Stored* row, std::int64_t stride) noexcept {
    load_leaves<R>(group_.get(), row, width_, stride);
  }

  void add_one(const Stored* row, std::int64_t stride) noexcept {
    Leaf* __restrict group = group_.get();
    if (stride == 1) {
      for (std::int64_t i = 0; i < width_; ++i) group[i] = R::combine(group[i], R::load(row[i]));
    } else {
      for (std::int64_t i = 0; i < width_; ++i) group[i] = R::combine(group[i], R::load(row[i * stride]));
    }
  }

  // kTogether rows at once, so that the group is read and written once for all of them.
  void add_together(const Stored* row, std::int64_t stride, std::int64_t row_stride) noexcept {
    if (stride != 1) {
      for (int k = 0; k < kTogether; ++k) add_one(row + k * row_stride, stride);
      return;
    }
    Leaf* __restrict group = group_.get();
    const Stored* b = row + row_stride;
    const Stored* c = b + row_stride;
    const Stored* d = c + row_stride;
    for (std::int64_t i = 0; i < width_; ++i) {
      const Leaf ab = R::combine(R::load(row[i]), R::load(b[i]));
      const Leaf cd = R::combine(R::load(c[i]), R::load(d[i]));
      group[i] = R::combine(group[i], R::combine(ab, cd));
    }
  }

  void push_group() noexcept {
    Acc* __restrict to = level(depth_);
    const Leaf* __restrict group = group_.get();
    for (std::int64_t i = 0; i < width_; ++i) to[i] = static_cast<Acc>(group[i]);
    grouped_ = 0;
    settle();
  }

  // The row at depth_ is new: merge it downwards as far as a binary counter carries.
  void settle() noexcept {
    for (std::uint64_t full = pushed_++; (full & 1) != 0; full >>= 1) {
      merge(level(depth_ - 1), level(depth_));
      --depth_;
    }
    ++depth_;
  }
  void merge(Acc* __restrict into, const Acc* __restrict from) noexcept {
    for (std::int64_t i = 0; i < width_; ++i) into[i] = R::combine(into[i], from[i]);
  }

  const std::int64_t capacity_;
  std::int64_t width_ = 0;
  int grouped_ = 0;           // rows in group_
  std::uint64_t pushed_ = 0;  // rows merged into levels_
  std::int64_t depth_ = 0;    // levels in use: the number of ones in pushed_
  std::unique_ptr<Leaf[]> group_;
  std::unique_ptr<Acc[]> levels_;
};

}  // namespace millrace::host
