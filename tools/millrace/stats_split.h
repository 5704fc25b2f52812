// A tensor of any rank as three dimensions around the one whose indices get statistics of their own.
#pragma once

#include <cstdint>
#include <optional>

#include "formats/tensor_file.h"

namespace millrace::tool {

/// More channels of one tensor than this are refused: each takes 80 bytes while the run lasts.
inline constexpr std::uint64_t kMostChannels = std::uint64_t{1} << 22;

enum class SplitKind {
  whole,         ///< nobody asked for channels
  channels,      ///< one Statistics an index of the dimension
  no_dimension,  ///< asked for, but the tensor has no such dimension
  no_elements,   ///< asked for, but there is nothing in any channel
  too_many,      ///< asked for, but past kMostChannels
};

/// The elements as outer x channels x inner, the last one dense. A tensor that is not split has one channel.
struct Split {
  SplitKind kind = SplitKind::whole;
  std::uint64_t outer = 1;
  std::uint64_t channels = 1;
  std::uint64_t inner = 0;
};

/// channel_dim: negative from the end, nothing for no channels. The order of the elements in the file is
/// accounted for, and rank has no limit.
Split split_tensor(const TensorEntry& tensor, std::optional<std::int64_t> channel_dim);

}  // namespace millrace::tool
