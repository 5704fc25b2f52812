#include "stats_split.h"

#include <algorithm>
#include <cstddef>
#include <vector>

namespace millrace::tool {
namespace {

std::uint64_t product(const std::vector<std::int64_t>& shape, std::size_t begin, std::size_t end) {
  std::uint64_t result = 1;
  for (std::size_t i = begin; i < end; ++i) result *= static_cast<std::uint64_t>(shape[i]);
  return result;
}

}  // namespace

Split split_tensor(const TensorEntry& tensor, std::optional<std::int64_t> channel_dim) {
  Split split{SplitKind::whole, 1, 1, tensor.elements()};
  if (!channel_dim) return split;
  const auto rank = static_cast<std::int64_t>(tensor.shape.size());
  if (*channel_dim < -rank || *channel_dim >= rank) {
    split.kind = SplitKind::no_dimension;
    return split;
  }
  if (tensor.elements() == 0) {
    split.kind = SplitKind::no_elements;
    return split;
  }
  auto dim = static_cast<std::size_t>(*channel_dim < 0 ? *channel_dim + rank : *channel_dim);
  std::vector<std::int64_t> shape = tensor.shape;
  if (tensor.fortran_order) {
    std::ranges::reverse(shape);
    dim = shape.size() - 1 - dim;
  }
  const auto channels = static_cast<std::uint64_t>(shape[dim]);
  if (channels > kMostChannels) {
    split.kind = SplitKind::too_many;
    return split;
  }
  return {SplitKind::channels, product(shape, 0, dim), channels, product(shape, dim + 1, shape.size())};
}

}  // namespace millrace::tool
