// Size classes: small sizes rounded so that free blocks can be swapped for one another.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace millrace {

/// In units of Geometry::small_unit: every size up to 16 units, then eight classes a doubling, so a
/// block is at most an eighth larger than what was asked for.
class SizeClass {
 public:
  static constexpr int kCount = 72;  // up to 2048 units: 1 MiB of 512 bytes
  static constexpr std::size_t kMaxUnits = 2048;

  /// units: 1 to kMaxUnits.
  static constexpr int of(std::size_t units) noexcept {
    const std::size_t last = units - 1;
    if (last < 16) return static_cast<int>(last);
    const int doubling = static_cast<int>(std::bit_width(last)) - 1;
    return 16 + (doubling - 4) * 8 + static_cast<int>((last >> (doubling - 3)) & 7);
  }
  static constexpr std::size_t units(int size_class) noexcept {
    if (size_class < 16) return static_cast<std::size_t>(size_class) + 1;
    const int rest = size_class - 16;
    const int doubling = 4 + rest / 8;
    return static_cast<std::size_t>(8 + rest % 8 + 1) << (doubling - 3);
  }
};

static_assert(SizeClass::units(SizeClass::kCount - 1) == SizeClass::kMaxUnits);
static_assert(SizeClass::of(SizeClass::kMaxUnits) == SizeClass::kCount - 1);

}  // namespace millrace
