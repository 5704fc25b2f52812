#include "bench/reduce_cases.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace millrace::tool {
namespace {

std::string list_of(const Dims& dims) {
  return fmt::format("{}", fmt::join(dims.begin(), dims.end(), ","));
}

ReduceCase make_case(const std::string& op, std::vector<ReduceOp> ops, const Dims& shape, const Dims& dims) {
  std::string name = op + " all";
  if (!dims.empty()) {
    const std::string over = dims.size() == 1 ? list_of(dims) : "(" + list_of(dims) + ")";
    name = fmt::format("{} ({}) over {}", op, list_of(shape), over);
  }
  return {name, op, std::move(ops), shape, dims, {}};
}

template <typename Bits>
void fill(std::span<std::byte> input, Bits one, int shift) {
  const std::size_t count = input.size() / sizeof(Bits);
  auto* const out = reinterpret_cast<Bits*>(input.data());
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t mixed = static_cast<std::uint32_t>(i) * 2654435761U;
    out[i] = static_cast<Bits>(one | mixed >> shift);
  }
}

}  // namespace

std::vector<ReduceCase> reduce_cases(std::uint64_t elements) {
  const auto n = static_cast<std::int64_t>(elements);
  const Dims flat{n};
  const std::int64_t columns = std::int64_t{1} << (std::bit_width(elements) / 2);
  const Dims square{n / columns, columns};
  const std::int64_t side = n < std::int64_t{1} << 28 ? 32 : 64;
  const std::int64_t images = n / (side * side);
  const std::int64_t channels = std::min<std::int64_t>(1024, images / 4);
  const Dims batch{images / channels, channels, side, side};

  std::vector<ReduceCase> cases;
  const auto add = [&](ReduceOp op, const Dims& shape, const Dims& dims) {
    cases.push_back(make_case(to_string(op), {op}, shape, dims));
  };
  for (const ReduceOp op : {ReduceOp::sum, ReduceOp::mean, ReduceOp::prod, ReduceOp::min, ReduceOp::max}) {
    add(op, flat, {});
  }
  cases.push_back(make_case("statistics", {}, flat, {}));
  add(ReduceOp::sum, square, {0});
  add(ReduceOp::sum, square, {1});
  add(ReduceOp::sum, {n / 256, 256}, {1});
  add(ReduceOp::sum, {256, n / 256}, {0});
  add(ReduceOp::sum, {n / 16, 16}, {1});
  add(ReduceOp::sum, {16, n / 16}, {0});
  add(ReduceOp::sum, batch, {0, 2});
  add(ReduceOp::sum, batch, {1, 3});
  add(ReduceOp::sum, batch, {0, 2, 3});
  add(ReduceOp::min, square, {1});
  add(ReduceOp::argmax, flat, {});
  cases.push_back(make_case("max with index", {ReduceOp::max, ReduceOp::argmax}, square, {1}));
  return cases;
}

void fill_reduce_input(DType dtype, std::span<std::byte> input) {
  if (dtype == DType::bf16) {
    fill<std::uint16_t>(input, 0x3F80, 25);
  } else if (dtype == DType::f16) {
    fill<std::uint16_t>(input, 0x3C00, 22);
  } else {
    fill<std::uint32_t>(input, 0x3F800000, 9);
  }
}

}  // namespace millrace::tool
