// What a free has to see to on streams that others put work on.
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "device/backend.h"

namespace millrace {

/// Points on wrapped streams that a freed block waits for, and that somebody has to put a mark behind (S12).
/// A free may not need memory, so of many it only knows that there are more.
///
/// Thread safety: one thread at a time.
class CoverList {
 public:
  void add(TimelinePoint point) noexcept {
    if (count_ < points_.size()) {
      points_[count_++] = point;
    } else {
      more_ = true;
    }
  }
  bool empty() const noexcept { return count_ == 0; }
  std::span<const TimelinePoint> points() const noexcept { return std::span(points_).first(count_); }
  bool more() const noexcept { return more_; }

 private:
  std::array<TimelinePoint, 4> points_;
  std::size_t count_ = 0;
  bool more_ = false;
};

}  // namespace millrace
