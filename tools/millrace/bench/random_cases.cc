#include "bench/random_cases.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <string>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace millrace::tool {
namespace {

constexpr int kMostRank = 6;

/// By the generator alone: what distributions make of it is not the same everywhere.
class Chance {
 public:
  explicit Chance(std::uint64_t seed) : generator_(seed) {}
  std::int64_t below(std::int64_t n) {
    return static_cast<std::int64_t>(generator_() % static_cast<std::uint64_t>(n));
  }
  /// From 0 to before 1.
  double share() { return static_cast<double>(generator_() >> 11) / 9007199254740992.0; }

 private:
  std::mt19937_64 generator_;
};

/// Sizes whose product is about so many elements, with parts of their logarithm that differ.
std::vector<std::int64_t> random_shape(Chance& chance, double elements) {
  const auto rank = static_cast<std::size_t>(1 + chance.below(kMostRank));
  std::vector<double> parts;
  double all = 0;
  for (std::size_t i = 0; i < rank; ++i) all += parts.emplace_back(0.1 + chance.share());
  std::vector<std::int64_t> shape;
  std::int64_t product = 1;
  for (std::size_t i = 0; i < rank; ++i) {
    const double left = elements / static_cast<double>(product);
    double size = i + 1 == rank ? left : std::min(left, std::pow(elements, parts[i] / all));
    // Half of all sizes are as people choose them.
    if (size >= 16 && chance.below(2) == 0) size = std::floor(size / 8) * 8;
    shape.push_back(std::max<std::int64_t>(static_cast<std::int64_t>(size), 1));
    product *= shape.back();
  }
  for (std::size_t i = rank - 1; i > 0; --i) {
    std::swap(shape[i], shape[static_cast<std::size_t>(chance.below(static_cast<std::int64_t>(i) + 1))]);
  }
  return shape;
}

/// Of memory that is laid out in another order than the dims, or has gaps. extent: elements from the first to
/// behind the last.
std::vector<std::int64_t> random_strides(Chance& chance, const std::vector<std::int64_t>& shape,
                                         std::int64_t& extent) {
  const std::size_t rank = shape.size();
  std::vector<std::size_t> order(rank);  // innermost last
  for (std::size_t i = 0; i < rank; ++i) order[i] = i;
  const std::int64_t kind = chance.below(4);  // 0 and 1: contiguous
  if (kind == 2) {
    for (std::size_t i = rank - 1; i > 0; --i) {
      std::swap(order[i], order[static_cast<std::size_t>(chance.below(static_cast<std::int64_t>(i) + 1))]);
    }
  }
  const auto gap = kind == 3 ? static_cast<std::size_t>(chance.below(static_cast<std::int64_t>(rank))) : rank;
  std::vector<std::int64_t> strides(rank);
  std::int64_t stride = 1;
  for (std::size_t i = rank; i-- > 0;) {
    strides[order[i]] = stride;
    stride *= shape[order[i]];
    // Rows of a larger tensor.
    if (i == gap && i > 0) stride += 1 + chance.below(std::min<std::int64_t>(64, shape[order[i]]));
  }
  extent = stride;
  return strides;
}

}  // namespace

std::vector<ReduceCase> random_cases(DType dtype, std::uint64_t bytes, int first, int count,
                                     std::uint64_t seed) {
  Chance chance(seed + static_cast<std::uint64_t>(dtype) * 1'000'003);
  const auto least = static_cast<std::int64_t>(kLeastRandomBytes / size_of(dtype));
  const auto most = static_cast<std::int64_t>(bytes / size_of(dtype));
  constexpr ReduceOp kOps[] = {ReduceOp::sum, ReduceOp::mean, ReduceOp::max, ReduceOp::min};
  std::vector<ReduceCase> cases;
  while (static_cast<int>(cases.size()) < count) {
    const double wanted = static_cast<double>(least) *
                          std::pow(static_cast<double>(most) / static_cast<double>(least), chance.share());
    const std::vector<std::int64_t> shape = random_shape(chance, wanted * 1.05);
    std::int64_t extent = 0;
    const std::vector<std::int64_t> strides = random_strides(chance, shape, extent);
    std::vector<std::int64_t> dims;
    for (std::size_t i = 0; i < shape.size(); ++i) {
      if (chance.below(2) == 0) dims.push_back(static_cast<std::int64_t>(i));
    }
    const ReduceOp op = kOps[chance.below(4)];
    ReduceCase c{"", to_string(op), {op}, Dims(shape), Dims(dims), Dims(strides)};
    // None at all are all.
    if (dims.size() == shape.size()) c.dims = Dims{};
    if (c.elements() < least || extent > most) continue;
    c.name = fmt::format("random {} {} ({}) strides ({}) over ({})", first + static_cast<int>(cases.size()),
                         to_string(op), fmt::join(shape, ","), fmt::join(strides, ","), fmt::join(dims, ","));
    cases.push_back(std::move(c));
  }
  return cases;
}

}  // namespace millrace::tool
