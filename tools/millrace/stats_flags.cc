#include "stats_flags.h"

#include <algorithm>

#include <fmt/format.h>

#include "byte_size.h"

namespace millrace::tool {
namespace {

void add(std::string& flags, const std::string& flag) {
  if (!flag.empty()) flags += flags.empty() ? flag : ", " + flag;
}

}  // namespace

std::string flags_of(const Statistics& s, const char* all_zero) {
  std::string flags;
  if (s.nan > 0) add(flags, fmt::format("NaN {}", format_count(static_cast<std::uint64_t>(s.nan))));
  if (s.inf > 0) add(flags, fmt::format("inf {}", format_count(static_cast<std::uint64_t>(s.inf))));
  if (is_dead(s)) add(flags, all_zero);
  return flags;
}

std::string channel_flags_of(const Statistics& s) {
  std::string flags = flags_of(s, "dead");
  if (is_constant(s)) add(flags, "constant");
  return flags;
}

std::string tensor_flags_of(const TensorStatistics& tensor, const Split& split,
                            std::optional<std::int64_t> channel_dim) {
  std::string flags = flags_of(tensor.all, "all-zero");
  const auto dead = std::ranges::count_if(tensor.channels, is_dead);
  const auto constant = std::ranges::count_if(tensor.channels, is_constant);
  if (dead > 0) add(flags, fmt::format("{} of {} channels dead", dead, tensor.channels.size()));
  if (constant > 0) add(flags, fmt::format("{} of {} channels constant", constant, tensor.channels.size()));
  add(flags, not_split_reason(split, channel_dim));
  return flags;
}

std::string not_split_reason(const Split& split, std::optional<std::int64_t> channel_dim) {
  switch (split.kind) {
    case SplitKind::whole:
    case SplitKind::channels: return {};
    case SplitKind::no_dimension: return fmt::format("no dimension {}", channel_dim.value_or(0));
    case SplitKind::no_elements: return "no elements";
    case SplitKind::too_many: return fmt::format("more than {} channels", kMostChannels);
  }
  return {};
}

}  // namespace millrace::tool
