// Ranges of a device's addresses, in granules and in words.
#pragma once

#include <cinttypes>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>

namespace millrace {

inline bool is_whole_granules(std::uintptr_t address, std::size_t bytes, std::size_t granule) noexcept {
  return bytes != 0 && address % granule == 0 && bytes % granule == 0;
}

/// What decommittable says of a device that takes back any granule.
inline std::span<std::byte> granules_within(void* address, std::size_t bytes, std::size_t granule) noexcept {
  const auto start = reinterpret_cast<std::uintptr_t>(address);
  const std::uintptr_t first = (start + granule - 1) / granule * granule;
  const std::uintptr_t end = (start + bytes) / granule * granule;
  if (end <= first) return {};
  return {reinterpret_cast<std::byte*>(first), end - first};
}

/// "4096 bytes at 0x7f..."
inline std::string range_text(const void* address, std::size_t bytes) {
  char text[64];
  std::snprintf(text, sizeof text, "%zu bytes at 0x%" PRIxPTR, bytes,
                reinterpret_cast<std::uintptr_t>(address));
  return text;
}

}  // namespace millrace
