// Loops over a tensor's memory, and places in them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <millrace/tensor.h>

namespace millrace::host {

/// Walks a nest of loops, outermost first, as offsets into up to two tensors.
///
/// Thread safety: one thread at a time.
class Walk {
 public:
  Walk(const Dims& sizes, const Dims& strides, const Dims& other_strides) noexcept
      : sizes_(sizes), strides_(strides), other_strides_(other_strides) {}
  Walk(const Dims& sizes, const Dims& strides) noexcept : Walk(sizes, strides, strides) {}

  std::int64_t offset() const noexcept { return offset_; }
  std::int64_t other_offset() const noexcept { return other_offset_; }

  /// Goes to the place with that number, counted from 0.
  void seek(std::int64_t place) noexcept {
    offset_ = 0;
    other_offset_ = 0;
    for (int i = sizes_.size() - 1; i >= 0; --i) {
      const std::int64_t index = place % sizes_[i];
      place /= sizes_[i];
      index_[static_cast<std::size_t>(i)] = index;
      offset_ += index * strides_[i];
      other_offset_ += index * other_strides_[i];
    }
  }

  /// After the last place it stands at the first one again.
  void next() noexcept {
    for (int i = sizes_.size() - 1; i >= 0; --i) {
      offset_ += strides_[i];
      other_offset_ += other_strides_[i];
      if (++index_[static_cast<std::size_t>(i)] < sizes_[i]) return;
      offset_ -= strides_[i] * sizes_[i];
      other_offset_ -= other_strides_[i] * sizes_[i];
      index_[static_cast<std::size_t>(i)] = 0;
    }
  }

 private:
  Dims sizes_, strides_, other_strides_;
  std::array<std::int64_t, kMaxDims> index_{};
  std::int64_t offset_ = 0;
  std::int64_t other_offset_ = 0;
};

/// A nest of loops whose innermost is set apart; without any, one element.
struct Nest {
  Dims outer, outer_strides;
  std::int64_t size = 1;
  std::int64_t stride = 1;
  bool empty = true;
  std::int64_t places = 1;  ///< of the outer loops

  /// Outermost first.
  void add(std::int64_t loop_size, std::int64_t loop_stride) {
    if (!empty) {
      outer.push_back(size);
      outer_strides.push_back(stride);
      places *= size;
    }
    size = loop_size;
    stride = loop_stride;
    empty = false;
  }
  /// Takes the innermost loop away; there are outer ones.
  void pop() noexcept {
    const int last = outer.size() - 1;
    size = outer[last];
    stride = outer_strides[last];
    places /= size;
    Dims fewer, fewer_strides;
    for (int i = 0; i < last; ++i) {
      fewer.push_back(outer[i]);
      fewer_strides.push_back(outer_strides[i]);
    }
    outer = fewer;
    outer_strides = fewer_strides;
  }
  std::int64_t elements() const noexcept { return places * size; }
};

}  // namespace millrace::host
