// What is worth a second look in statistics, in words.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <millrace/reduction.h>

#include "stats_collect.h"
#include "stats_split.h"

namespace millrace::tool {

/// All elements are zero, and there is one.
inline bool is_dead(const Statistics& s) noexcept {
  return s.count > 0 && s.zeros == s.count;
}

/// All elements are the same finite value other than zero, and there are at least two: one alone always is.
inline bool is_constant(const Statistics& s) noexcept {
  return s.count > 1 && s.finite() == s.count && s.min == s.max && !is_dead(s);
}

/// The indices of what `is` holds for.
inline std::vector<std::size_t> indices_of(const std::vector<Statistics>& channels,
                                           bool (*is)(const Statistics&) noexcept) {
  std::vector<std::size_t> indices;
  for (std::size_t i = 0; i < channels.size(); ++i) {
    if (is(channels[i])) indices.push_back(i);
  }
  return indices;
}

/// "NaN 3, inf 2", and all_zero where all are; empty if there is nothing to say.
std::string flags_of(const Statistics& s, const char* all_zero);

/// The same of one channel: "dead", "constant".
std::string channel_flags_of(const Statistics& s);

/// The same of a tensor, with how many of its channels are dead: "3 of 384 channels dead".
std::string tensor_flags_of(const TensorStatistics& tensor, const Split& split,
                            std::optional<std::int64_t> channel_dim);

/// Why a tensor was not split: "no dimension 1". Empty where it was, or where nobody asked.
std::string not_split_reason(const Split& split, std::optional<std::int64_t> channel_dim);

}  // namespace millrace::tool
