// Bytes that tell whose block they are in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace millrace::test {

/// A word each kPatternStep bytes, one at the end, and for tiny blocks each byte.
inline constexpr std::size_t kPatternStep = 4096;

inline std::uint64_t pattern_word(std::uint64_t tag, std::size_t offset) {
  return (tag ^ (offset * 0x9e3779b97f4a7c15ull)) * 0xff51afd7ed558ccdull;
}

template <typename Visit>
void for_each_pattern_word(std::size_t bytes, Visit&& visit) {
  if (bytes < sizeof(std::uint64_t)) return;
  const std::size_t last = bytes - sizeof(std::uint64_t);
  for (std::size_t offset = 0; offset + sizeof(std::uint64_t) <= last; offset += kPatternStep) visit(offset);
  visit(last);
}

inline void write_pattern(void* block, std::size_t bytes, std::uint64_t tag) {
  auto* at = static_cast<std::byte*>(block);
  if (bytes < sizeof(std::uint64_t)) std::memset(at, static_cast<int>(tag & 0xff), bytes);
  for_each_pattern_word(bytes, [&](std::size_t offset) {
    const std::uint64_t word = pattern_word(tag, offset);
    std::memcpy(at + offset, &word, sizeof word);
  });
}

inline bool has_pattern(const void* block, std::size_t bytes, std::uint64_t tag) {
  const auto* at = static_cast<const std::byte*>(block);
  bool same = true;
  if (bytes < sizeof(std::uint64_t)) {
    for (std::size_t i = 0; i < bytes; ++i) same &= at[i] == static_cast<std::byte>(tag & 0xff);
  }
  for_each_pattern_word(bytes, [&](std::size_t offset) {
    std::uint64_t word = 0;
    std::memcpy(&word, at + offset, sizeof word);
    same &= word == pattern_word(tag, offset);
  });
  return same;
}

}  // namespace millrace::test
