// Where the elements of a view are: the memory it spans, and loops over it in fewest, densest dimensions.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <millrace/tensor.h>

namespace millrace {

/// The bytes between a view's lowest and highest element, both included.
struct Span {
  const void* address = nullptr;
  std::size_t bytes = 0;  ///< 0: the view has no element
};

/// What is the memory of the view? Throws InvalidArgument where shape, strides, type or address can't
/// be those of a tensor. call and role are for the message, as "reduce" and "input".
Span checked_span(const char* call, const char* role, const TensorView& view);

bool overlap(const Span& a, const Span& b) noexcept;

/// May two elements of the view lie in the same place? Also said of a few odd layouts whose elements
/// interleave without meeting. The view was checked and has elements.
bool overlaps_itself(const TensorView& view) noexcept;

/// One loop of a nest: how often, and how far each step moves in up to two tensors, in elements.
struct Loop {
  std::int64_t size = 1;
  std::int64_t stride = 0;
  std::int64_t other_stride = 0;
};

/// Loops of a nest, outermost first.
///
/// Thread safety: one thread at a time.
class LoopNest {
 public:
  /// At most kMaxDims; a loop of size 1 is left out.
  void add(const Loop& loop);
  /// Turns each loop whose stride is negative round; add what it returns to where the loops start.
  struct Shift {
    std::int64_t stride = 0;
    std::int64_t other_stride = 0;
  };
  Shift make_strides_positive();
  enum class Zeros { first, last };
  /// Largest stride first; zero strides as told. Neighbours that walk both tensors as
  /// one loop would are merged. After make_strides_positive.
  void normalise(Zeros zeros);
  /// The second half of normalise: merges neighbours and keeps the order.
  void merge();

  int size() const noexcept { return size_; }
  const Loop& operator[](int i) const noexcept { return loops_[static_cast<std::size_t>(i)]; }

 private:
  std::array<Loop, kMaxDims> loops_{};
  int size_ = 0;
};

}  // namespace millrace
