#include "reduce/shape.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>
#include <utility>

#include <millrace/error.h>

#include "device/dims.h"

namespace millrace {
namespace {

[[noreturn]] void refuse(const char* call, const char* role, const TensorView& view,
                         const std::string& problem) {
  ErrorContext context;
  context.call = call;
  throw Error(ErrorCode::InvalidArgument,
              std::string(role) + " " + std::string(to_string(view.dtype)) + " with shape " +
                  to_text(view.shape) + " and strides " + to_text(view.strides) + " " + problem,
              std::move(context));
}

}  // namespace

Span checked_span(const char* call, const char* role, const TensorView& view) {
  if (static_cast<int>(view.dtype) >= kDTypeCount) refuse(call, role, view, "has no valid type; use a DType");
  if (view.strides.size() != view.shape.size()) {
    refuse(call, role, view, "has not one stride for each size; contiguous_strides gives the dense ones");
  }
  for (const std::int64_t size : view.shape) {
    if (size < 0) refuse(call, role, view, "has a negative size; sizes are 0 or more");
  }
  if (element_count(view.shape) == 0) return {};

  // In bytes, relative to data; highest is that of the last element's first byte.
  const auto element = static_cast<std::int64_t>(size_of(view.dtype));
  std::int64_t lowest = 0;
  std::int64_t highest = 0;
  for (int i = 0; i < view.shape.size(); ++i) {
    std::int64_t reach = 0;
    bool overflow = __builtin_mul_overflow(view.shape[i] - 1, view.strides[i], &reach);
    overflow = overflow || __builtin_mul_overflow(reach, element, &reach);
    std::int64_t& end = reach < 0 ? lowest : highest;
    overflow = overflow || __builtin_add_overflow(end, reach, &end);
    if (overflow) refuse(call, role, view, "reaches past the end of the address space; check the strides");
  }
  const auto address = reinterpret_cast<std::uintptr_t>(view.data);
  if (address == 0) refuse(call, role, view, "has elements but its data is null; give it memory");
  if (address % static_cast<std::uintptr_t>(element) != 0) {
    refuse(call, role, view, "has data that is not aligned to its element size; copy it to aligned memory");
  }
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  // lowest is never positive; the unsigned negation holds for every value.
  if (__builtin_sub_overflow(address, std::uintptr_t{0} - static_cast<std::uintptr_t>(lowest), &begin) ||
      __builtin_add_overflow(address, static_cast<std::uintptr_t>(highest), &end) ||
      __builtin_add_overflow(end, static_cast<std::uintptr_t>(element), &end)) {
    refuse(call, role, view, "reaches past the end of the address space; check the strides");
  }
  return {reinterpret_cast<const void*>(begin), end - begin};
}

bool overlap(const Span& a, const Span& b) noexcept {
  const auto a_begin = reinterpret_cast<std::uintptr_t>(a.address);
  const auto b_begin = reinterpret_cast<std::uintptr_t>(b.address);
  return a.bytes != 0 && b.bytes != 0 && a_begin < b_begin + b.bytes && b_begin < a_begin + a.bytes;
}

bool overlaps_itself(const TensorView& view) noexcept {
  // From the smallest stride on, each must step over all that the smaller ones reach.
  std::array<std::pair<std::int64_t, std::int64_t>, kMaxDims> loops;  // stride, size
  std::size_t count = 0;
  for (int i = 0; i < view.shape.size(); ++i) {
    if (view.shape[i] > 1) loops[count++] = {std::abs(view.strides[i]), view.shape[i]};
  }
  std::stable_sort(loops.begin(), loops.begin() + static_cast<std::ptrdiff_t>(count));
  std::int64_t reach = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (loops[i].first <= reach) return true;
    reach += loops[i].first * (loops[i].second - 1);
  }
  return false;
}

void LoopNest::add(const Loop& loop) {
  if (loop.size != 1) loops_[static_cast<std::size_t>(size_++)] = loop;
}

LoopNest::Shift LoopNest::make_strides_positive() {
  Shift shift;
  for (int i = 0; i < size_; ++i) {
    Loop& loop = loops_[static_cast<std::size_t>(i)];
    if (loop.stride >= 0) continue;
    shift.stride += (loop.size - 1) * loop.stride;
    shift.other_stride += (loop.size - 1) * loop.other_stride;
    loop.stride = -loop.stride;
    loop.other_stride = -loop.other_stride;
  }
  return shift;
}

void LoopNest::normalise(Zeros zeros) {
  std::stable_sort(loops_.begin(), loops_.begin() + size_, [zeros](const Loop& a, const Loop& b) {
    if (zeros == Zeros::first && (a.stride == 0) != (b.stride == 0)) return a.stride == 0;
    if (a.stride != b.stride) return a.stride > b.stride;
    return std::abs(a.other_stride) > std::abs(b.other_stride);
  });
  merge();
}

void LoopNest::merge() {
  const int count = size_;
  size_ = 0;
  for (int i = 0; i < count; ++i) {
    const Loop loop = loops_[static_cast<std::size_t>(i)];
    Loop* outer = size_ == 0 ? nullptr : &loops_[static_cast<std::size_t>(size_ - 1)];
    if (outer != nullptr && outer->stride == loop.stride * loop.size &&
        outer->other_stride == loop.other_stride * loop.size) {
      *outer = {outer->size * loop.size, loop.stride, loop.other_stride};
    } else {
      loops_[static_cast<std::size_t>(size_++)] = loop;
    }
  }
}

}  // namespace millrace
