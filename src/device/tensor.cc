#include <millrace/tensor.h>

#include <algorithm>
#include <string>

#include <millrace/error.h>

#include "device/dims.h"

namespace millrace {
namespace {

[[noreturn]] void throw_too_many(std::size_t asked) {
  throw Error(ErrorCode::InvalidArgument, std::to_string(asked) + " dimensions were given, at most " +
                                              std::to_string(kMaxDims) +
                                              " are supported; merge neighbouring dimensions first");
}

}  // namespace

Dims::Dims(std::span<const std::int64_t> values) {
  if (values.size() > kMaxDims) throw_too_many(values.size());
  std::copy(values.begin(), values.end(), values_.begin());
  size_ = static_cast<int>(values.size());
}

void Dims::push_back(std::int64_t value) {
  if (size_ == kMaxDims) throw_too_many(kMaxDims + 1);
  values_[static_cast<std::size_t>(size_++)] = value;
}

bool Dims::operator==(const Dims& other) const noexcept {
  return std::equal(begin(), end(), other.begin(), other.end());
}

std::string to_text(std::span<const std::int64_t> values) {
  std::string text = "[";
  for (const std::int64_t value : values) {
    if (text.size() > 1) text += ", ";
    text += std::to_string(value);
  }
  return text + "]";
}

std::string to_text(const Dims& dims) {
  return to_text(std::span(dims.begin(), dims.end()));
}

Dims contiguous_strides(const Dims& shape) {
  Dims strides = shape;
  std::int64_t stride = 1;
  for (int i = shape.size() - 1; i >= 0; --i) {
    strides[i] = stride;
    // A size of zero leaves no element to reach: the strides only have to be harmless.
    if (__builtin_mul_overflow(stride, std::max<std::int64_t>(shape[i], 1), &stride)) stride = 0;
  }
  return strides;
}

std::int64_t element_count(const Dims& shape) {
  bool empty = false;
  for (const std::int64_t size : shape) {
    if (size < 0) {
      throw Error(ErrorCode::InvalidArgument,
                  "shape " + to_text(shape) + " has a negative size; sizes are 0 or more");
    }
    empty = empty || size == 0;
  }
  if (empty) return 0;
  std::int64_t count = 1;
  for (const std::int64_t size : shape) {
    if (__builtin_mul_overflow(count, size, &count)) {
      throw Error(ErrorCode::InvalidArgument, "shape " + to_text(shape) +
                                                  " has more than 2^63 - 1 elements; check where "
                                                  "the sizes come from");
    }
  }
  return count;
}

TensorView contiguous(void* data, DType dtype, const Dims& shape) {
  return {data, dtype, shape, contiguous_strides(shape)};
}

}  // namespace millrace
