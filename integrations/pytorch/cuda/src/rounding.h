// PYTORCH_CUDA_ALLOC_CONF's roundup_power2_divisions: sizes that fit more requests than one.
#pragma once

#include <c10/core/AllocatorConfig.h>

#include <bit>
#include <cstddef>

namespace millrace_torch {

/// What torch's own allocator would take for so many bytes, where it was told to divide the range between two
/// powers of two into so many steps; else the same number. torch.cuda.memory._set_allocator_settings changes
/// that, while nobody allocates: torch keeps it without a lock.
inline std::size_t rounded_up(std::size_t bytes) {
  constexpr std::size_t kUnit = 512;                   // torch's kMinBlockSize
  constexpr std::size_t kMost = std::size_t{1} << 60;  // more is nobody's to have
  if (bytes <= 2 * kUnit || bytes >= kMost) return bytes;
  const std::size_t divisions =
      c10::CachingAllocator::AcceleratorAllocatorConfig::roundup_power2_divisions(bytes);
  if (divisions <= 1 || bytes <= kUnit * divisions) [[likely]]
    return bytes;
  const std::size_t step = std::bit_floor(bytes) / std::bit_floor(divisions);
  return (bytes + step - 1) / step * step;
}

}  // namespace millrace_torch
