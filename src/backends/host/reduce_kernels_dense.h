// Runs of elements to one value: dense memory in vector lanes, strided memory by way of a buffer.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include <millrace/tensor.h>

namespace millrace::host {

/// The longest run combined in leaves; 32-bit leaves of 16-bit integers can't overflow in it.
inline constexpr std::int64_t kLeafRun = 1024;

/// As wide as every x86-64 and arm64 has it.
inline constexpr std::size_t kVectorBytes = 16;

template <typename T>
struct VectorOf {
  typedef T type __attribute__((vector_size(kVectorBytes)));
};

template <typename T>
typename VectorOf<T>::type load_vector(const T* from) noexcept {
  typename VectorOf<T>::type vector;
  std::memcpy(&vector, from, kVectorBytes);
  return vector;
}

template <typename T>
inline constexpr std::int64_t kLanes = kVectorBytes / sizeof(T);

/// Combines n > 0 dense leaves.
template <typename R>
typename R::Leaf reduce_leaves(const typename R::Leaf* leaves, std::int64_t n) noexcept {
  using Leaf = typename R::Leaf;
  constexpr std::int64_t kWidth = kLanes<Leaf>;
  constexpr int kVectors = 8;  // independent chains: hides the latency of an addition
  Leaf result = R::identity();
  std::int64_t i = 0;
  if (n >= kWidth) {
    auto lanes = load_vector(leaves);
    i = kWidth;
    if (n >= kVectors * kWidth) {
      std::array<typename VectorOf<Leaf>::type, kVectors> v;
      for (int k = 0; k < kVectors; ++k) v[static_cast<std::size_t>(k)] = load_vector(leaves + k * kWidth);
      for (i = kVectors * kWidth; i + kVectors * kWidth <= n; i += kVectors * kWidth) {
        for (int k = 0; k < kVectors; ++k) {
          auto& chain = v[static_cast<std::size_t>(k)];
          chain = R::combine(chain, load_vector(leaves + i + k * kWidth));
        }
      }
      for (std::size_t width = kVectors / 2; width > 0; width /= 2) {
        for (std::size_t k = 0; k < width; ++k) v[k] = R::combine(v[k], v[k + width]);
      }
      lanes = v[0];
    }
    for (; i + kWidth <= n; i += kWidth) lanes = R::combine(lanes, load_vector(leaves + i));
    for (std::int64_t k = 0; k < kWidth; ++k) result = R::combine(result, static_cast<Leaf>(lanes[k]));
  }
  for (; i < n; ++i) result = R::combine(result, leaves[i]);
  return result;
}

template <typename R>
void load_leaves(typename R::Leaf* __restrict leaves, const typename R::Stored* __restrict from,
                 std::int64_t n, std::int64_t stride) noexcept {
  if (stride == 1) {
    for (std::int64_t i = 0; i < n; ++i) leaves[i] = R::load(from[i]);
  } else {
    for (std::int64_t i = 0; i < n; ++i) leaves[i] = R::load(from[i * stride]);
  }
}

/// Are elements leaves as they are?
template <typename R>
inline constexpr bool kStoredAsLeaf = std::is_same_v<typename R::Leaf, typename R::Stored>&&
                                          std::is_same_v<typename R::Value, typename R::Stored> &&
                                      !R::kIsBoolean;

/// Combines 0 < n <= kLeafRun elements, stride apart.
template <typename R>
typename R::Leaf reduce_run(const typename R::Stored* from, std::int64_t n, std::int64_t stride) noexcept {
  if constexpr (kStoredAsLeaf<R>) {
    if (stride == 1) return reduce_leaves<R>(from, n);
  }
  typename R::Leaf leaves[kLeafRun];
  load_leaves<R>(leaves, from, n, stride);
  return reduce_leaves<R>(leaves, n);
}

/// Combines values as a balanced tree of unknown size would, so that rounding errors grow with the
/// logarithm of their number.
///
/// Thread safety: one thread at a time.
template <typename R>
class Cascade {
 public:
  using Acc = typename R::Acc;

  void push(Acc value) noexcept {
    for (std::uint64_t full = count_++; (full & 1) != 0; full >>= 1) {
      value = R::combine(levels_[--depth_], value);
    }
    levels_[depth_++] = value;
  }

  /// Of at least one value.
  Acc total() const noexcept {
    Acc result = levels_[depth_ - 1];
    for (std::size_t level = depth_ - 1; level > 0; --level) result = R::combine(levels_[level - 1], result);
    return result;
  }

 private:
  std::uint64_t count_ = 0;
  std::size_t depth_ = 0;  // the number of ones in count_
  std::array<Acc, 64> levels_;
};

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

  /// False when there is no further place; then it stands at the first one again.
  bool next() noexcept {
    for (int i = sizes_.size() - 1; i >= 0; --i) {
      offset_ += strides_[i];
      other_offset_ += other_strides_[i];
      if (++index_[static_cast<std::size_t>(i)] < sizes_[i]) return true;
      offset_ -= strides_[i] * sizes_[i];
      other_offset_ -= other_strides_[i] * sizes_[i];
      index_[static_cast<std::size_t>(i)] = 0;
    }
    return false;
  }

 private:
  Dims sizes_, strides_, other_strides_;
  std::array<std::int64_t, kMaxDims> index_{};
  std::int64_t offset_ = 0;
  std::int64_t other_offset_ = 0;
};

/// A nest of loops whose innermost is set apart; without any, one element.
struct RunLoops {
  Dims outer, outer_strides;
  std::int64_t size = 1;
  std::int64_t stride = 1;
  bool empty = true;

  /// Outermost first.
  void add(std::int64_t loop_size, std::int64_t loop_stride) {
    if (!empty) {
      outer.push_back(size);
      outer_strides.push_back(stride);
    }
    size = loop_size;
    stride = loop_stride;
    empty = false;
  }
};

/// Combines all elements of the nest. No size is zero.
template <typename R>
typename R::Acc reduce_nest(const typename R::Stored* from, const RunLoops& loops) noexcept {
  using Acc = typename R::Acc;
  if (loops.outer.empty() && loops.size <= kLeafRun) {
    return static_cast<Acc>(reduce_run<R>(from, loops.size, loops.stride));
  }
  Cascade<R> cascade;
  if (loops.outer.empty() || loops.size >= kLeafRun / 4) {
    Walk walk(loops.outer, loops.outer_strides);
    do {
      const auto* row = from + walk.offset();
      for (std::int64_t i = 0; i < loops.size; i += kLeafRun) {
        const std::int64_t n = std::min(kLeafRun, loops.size - i);
        cascade.push(static_cast<Acc>(reduce_run<R>(row + i * loops.stride, n, loops.stride)));
      }
    } while (walk.next());
    return cascade.total();
  }
  // Short rows are gathered, so that they are combined many at a time.
  typename R::Leaf leaves[kLeafRun];
  std::int64_t filled = 0;
  Walk walk(loops.outer, loops.outer_strides);
  do {
    const auto* row = from + walk.offset();
    load_leaves<R>(leaves + filled, row, loops.size, loops.stride);
    filled += loops.size;
    if (filled + loops.size > kLeafRun) {
      cascade.push(static_cast<Acc>(reduce_leaves<R>(leaves, filled)));
      filled = 0;
    }
  } while (walk.next());
  if (filled > 0) cascade.push(static_cast<Acc>(reduce_leaves<R>(leaves, filled)));
  return cascade.total();
}

}  // namespace millrace::host
