// The device memory that an operation touches.
#pragma once

#include <array>
#include <cstddef>
#include <initializer_list>
#include <span>
#include <utility>
#include <vector>

#include <millrace/stream.h>

namespace millrace {

/// A list of uses, the first few of which are in the object itself: recording a reduction or a copy allocates
/// no memory for them.
///
/// Thread safety: a value, as std::vector.
class Uses {
 public:
  Uses() = default;
  Uses(std::initializer_list<Use> uses) : Uses(std::span(uses.begin(), uses.size())) {}
  explicit Uses(std::span<const Use> uses) {
    for (const Use& use : uses) push_back(use);
  }
  Uses(const Uses&) = default;
  Uses& operator=(const Uses&) = default;
  Uses(Uses&& other) noexcept { *this = std::move(other); }
  Uses& operator=(Uses&& other) noexcept {
    few_ = other.few_;
    many_ = std::move(other.many_);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }
  ~Uses() = default;

  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  const Use* begin() const noexcept { return size_ <= kFew ? few_.data() : many_.data(); }
  const Use* end() const noexcept { return begin() + size_; }
  const Use& operator[](std::size_t i) const noexcept { return begin()[i]; }

  /// Throws std::bad_alloc, and nothing has changed.
  void push_back(const Use& use) {
    if (size_ < kFew) {
      few_[size_] = use;
    } else {
      if (size_ == kFew) many_.assign(few_.begin(), few_.end());
      many_.push_back(use);
    }
    ++size_;
  }

 private:
  static constexpr std::size_t kFew = 3;  // an input, and two outputs

  std::array<Use, kFew> few_{};
  std::vector<Use> many_;  // all of them, once they are more
  std::size_t size_ = 0;
};

}  // namespace millrace
