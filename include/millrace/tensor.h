// A view of elements in device memory: where they are and how they are laid out.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>

#include <millrace/dtype.h>
#include <millrace/export.h>

namespace millrace {

inline constexpr int kMaxDims = 8;

/// Up to kMaxDims numbers: a shape, strides or a list of dimensions.
///
/// Thread safety: a value, as std::array.
class MILLRACE_API Dims {
 public:
  Dims() = default;
  /// Throws InvalidArgument past kMaxDims.
  Dims(std::initializer_list<std::int64_t> values) : Dims(std::span(values.begin(), values.size())) {}
  explicit Dims(std::span<const std::int64_t> values);

  int size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  std::int64_t operator[](int i) const noexcept { return values_[static_cast<std::size_t>(i)]; }
  std::int64_t& operator[](int i) noexcept { return values_[static_cast<std::size_t>(i)]; }
  const std::int64_t* begin() const noexcept { return values_.data(); }
  const std::int64_t* end() const noexcept { return values_.data() + size_; }
  /// Throws InvalidArgument past kMaxDims.
  void push_back(std::int64_t value);
  bool operator==(const Dims& other) const noexcept;

 private:
  std::array<std::int64_t, kMaxDims> values_{};
  int size_ = 0;
};

/// Elements in memory that somebody else owns.
///
/// The element at (i, j, ...) is at data + (i*strides[0] + j*strides[1] + ...) * size_of(dtype);
/// strides count elements and may be zero or negative. A 0-d view has one element.
struct TensorView {
  void* data = nullptr;
  DType dtype = DType::f32;
  Dims shape;
  Dims strides;
};

/// Row-major: the last dimension is dense.
MILLRACE_API Dims contiguous_strides(const Dims& shape);
/// The number of elements. Throws InvalidArgument on a negative size or past 2^63 - 1.
MILLRACE_API std::int64_t element_count(const Dims& shape);
/// A row-major view of the whole of data.
MILLRACE_API TensorView contiguous(void* data, DType dtype, const Dims& shape);

}  // namespace millrace
