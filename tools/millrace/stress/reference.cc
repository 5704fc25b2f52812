#include "stress/reference.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "half.h"

namespace millrace::tool {
namespace {

template <typename T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

double load_floating(const std::byte* at, DType dtype) {
  switch (dtype) {
    case DType::f64: return load<double>(at);
    case DType::f32: return static_cast<double>(load<float>(at));
    case DType::f16: return static_cast<double>(from_f16(load<std::uint16_t>(at)));
    default: return static_cast<double>(from_bf16(load<std::uint16_t>(at)));
  }
}

std::int64_t load_integer(const std::byte* at, DType dtype) {
  switch (dtype) {
    case DType::i64: return load<std::int64_t>(at);
    case DType::i32: return load<std::int32_t>(at);
    case DType::i16: return load<std::int16_t>(at);
    case DType::i8: return load<std::int8_t>(at);
    default: return load<std::uint8_t>(at);
  }
}

template <typename T>
void store(std::byte* at, T value) {
  std::memcpy(at, &value, sizeof(T));
}

void store_random(std::byte* at, DType dtype, ReduceOp op, Random& random) {
  // Products of many values stay near 1, sums near their number.
  const double value = op == ReduceOp::prod ? random.between(0.9, 1.1) : random.between(-1, 1);
  const double floating = random.one_in(5000) ? std::numeric_limits<double>::quiet_NaN() : value;
  switch (dtype) {
    case DType::f64: store(at, floating); break;
    case DType::f32: store(at, static_cast<float>(floating)); break;
    case DType::f16: store(at, to_f16(static_cast<float>(floating))); break;
    case DType::bf16: store(at, to_bf16(static_cast<float>(floating))); break;
    case DType::i64: store(at, static_cast<std::int64_t>(random.next())); break;
    case DType::i32: store(at, static_cast<std::int32_t>(random.next())); break;
    case DType::i16: store(at, static_cast<std::int16_t>(random.next())); break;
    case DType::i8: store(at, static_cast<std::int8_t>(random.next())); break;
    case DType::u8: store(at, static_cast<std::uint8_t>(random.next())); break;
    case DType::boolean: store(at, static_cast<std::uint8_t>(random.below(2))); break;
  }
}

/// What the elements of one output come to.
struct Accumulated {
  std::int64_t count = 0;
  // Of floating inputs:
  long double sum = 0;
  long double magnitude = 0;  // sum of absolute values: what rounding errors are relative to
  long double product = 1;
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  bool nan = false;
  // Of integers, modulo 2^64:
  std::uint64_t integer_sum = 0;
  std::uint64_t integer_product = 1;
  std::int64_t integer_low = std::numeric_limits<std::int64_t>::max();
  std::int64_t integer_high = std::numeric_limits<std::int64_t>::min();

  void add(double value) {
    ++count;
    nan = nan || std::isnan(value);
    sum += static_cast<long double>(value);
    magnitude += static_cast<long double>(std::fabs(value));
    product *= static_cast<long double>(value);
    low = std::min(low, value);
    high = std::max(high, value);
  }
  void add(std::int64_t value) {
    ++count;
    sum += static_cast<long double>(value);
    magnitude += std::fabs(static_cast<long double>(value));
    integer_sum += static_cast<std::uint64_t>(value);
    integer_product *= static_cast<std::uint64_t>(value);
    integer_low = std::min(integer_low, value);
    integer_high = std::max(integer_high, value);
  }
};

std::array<bool, kMaxDims> reduced_dims(const ReduceCase& c) {
  std::array<bool, kMaxDims> reduced{};
  for (const std::int64_t dim : c.dims) {
    reduced[static_cast<std::size_t>(dim < 0 ? dim + c.shape.size() : dim)] = true;
  }
  if (c.dims.empty()) reduced.fill(true);
  return reduced;
}

/// One entry an output element, in row-major order.
std::vector<Accumulated> accumulate(const ReduceCase& c) {
  const std::array<bool, kMaxDims> reduced = reduced_dims(c);
  std::vector<Accumulated> outputs(static_cast<std::size_t>(element_count(c.output_shape())));
  const std::int64_t count = element_count(c.shape);
  for (std::int64_t flat = 0; flat < count; ++flat) {
    std::int64_t rest = flat;
    std::int64_t place = 0;
    std::int64_t output = 0;
    std::int64_t output_stride = 1;
    for (int d = c.shape.size() - 1; d >= 0; --d) {
      const std::int64_t index = rest % c.shape[d];
      rest /= c.shape[d];
      place += index * c.strides[d];
      if (!reduced[static_cast<std::size_t>(d)]) {
        output += index * output_stride;
        output_stride *= c.shape[d];
      }
    }
    const std::byte* const at = c.input.data() + static_cast<std::size_t>(place) * size_of(c.dtype);
    Accumulated& into = outputs[static_cast<std::size_t>(output)];
    if (is_floating(c.dtype)) {
      into.add(load_floating(at, c.dtype));
    } else {
      into.add(load_integer(at, c.dtype));
    }
  }
  return outputs;
}

/// Far above what pairwise summation makes of any shape here, and far below losing an element.
constexpr double kRoundingsOfASum = 32;

/// Distance between neighbours near 1.
double epsilon_of(DType dtype) {
  switch (dtype) {
    case DType::f64: return 0x1p-52;
    case DType::f32: return 0x1p-23;
    case DType::f16: return 0x1p-10;
    default: return 0x1p-7;
  }
}

bool floating_matches(const ReduceCase& c, const Accumulated& a, double got, double* wanted) {
  const double step = epsilon_of(c.output_dtype());
  const double accumulator = std::min(step, epsilon_of(DType::f32));
  const auto n = static_cast<double>(a.count);
  double tolerance = 0;
  switch (c.op) {
    case ReduceOp::sum:
    case ReduceOp::mean: {
      const double divisor = c.op == ReduceOp::mean ? n : 1;
      *wanted = static_cast<double>(a.sum) / divisor;
      // The result's own rounding, and those of a pairwise sum over short runs.
      tolerance = step * std::fabs(*wanted) +
                  kRoundingsOfASum * accumulator * static_cast<double>(a.magnitude) / divisor;
      // Below the smallest normal f16 the steps are absolute.
      if (c.output_dtype() == DType::f16) tolerance += 0x1p-24;
      break;
    }
    case ReduceOp::prod:
      *wanted = static_cast<double>(a.product);
      tolerance = (step + (n + 1) * accumulator) * std::fabs(*wanted);
      if (c.output_dtype() == DType::f16) tolerance += 0x1p-24;
      break;
    case ReduceOp::min: *wanted = a.low; break;
    case ReduceOp::max: *wanted = a.high; break;
    default: break;  // random_reduce_case draws no other
  }
  if (a.nan) *wanted = std::numeric_limits<double>::quiet_NaN();
  if (std::isnan(*wanted)) return std::isnan(got);
  return std::fabs(got - *wanted) <= tolerance;
}

std::int64_t wanted_integer(const ReduceCase& c, const Accumulated& a) {
  switch (c.op) {
    case ReduceOp::sum: return static_cast<std::int64_t>(a.integer_sum);
    case ReduceOp::prod: return static_cast<std::int64_t>(a.integer_product);
    case ReduceOp::min: return a.integer_low;
    default: return a.integer_high;
  }
}

}  // namespace

std::string ReduceCase::describe() const {
  return fmt::format("{} of {} shape [{}] strides [{}] over {}{}", to_string(op), to_string(dtype),
                     fmt::join(shape, ","), fmt::join(strides, ","),
                     dims.empty() ? std::string("all") : fmt::format("[{}]", fmt::join(dims, ",")),
                     keep ? ", kept" : "");
}

ReduceCase random_reduce_case(Random& random) {
  static constexpr ReduceOp kOps[] = {ReduceOp::sum, ReduceOp::sum, ReduceOp::sum, ReduceOp::mean,
                                      ReduceOp::max, ReduceOp::min, ReduceOp::prod};
  ReduceCase c;
  c.op = kOps[random.below(std::size(kOps))];
  c.dtype = static_cast<DType>(random.below(kDTypeCount));
  c.keep = random.one_in(2);
  const int rank = 1 + static_cast<int>(random.below(4));
  // Few elements where they are multiplied, so that what f16 holds is not left.
  const double budget = c.op == ReduceOp::prod ? 64 : 16384;
  const double side = std::pow(budget, 1.0 / rank);
  for (int d = 0; d < rank; ++d)
    c.shape.push_back(1 + static_cast<std::int64_t>(random.between(0, 1.5 * side)));
  c.strides = contiguous_strides(c.shape);
  if (rank > 1 && random.one_in(3)) {
    const auto other = static_cast<int>(random.below(static_cast<std::uint64_t>(rank - 1)));
    std::swap(c.shape[other], c.shape[rank - 1]);
    std::swap(c.strides[other], c.strides[rank - 1]);
  }
  // All, one, or several of the dimensions, also counted from the end.
  const std::uint64_t wanted = random.below(3);
  for (int d = 0; d < rank && wanted > 0; ++d) {
    if (random.one_in(2) && (wanted == 2 || c.dims.empty()))
      c.dims.push_back(random.one_in(4) ? d - rank : d);
  }
  c.input.resize(static_cast<std::size_t>(element_count(c.shape)) * size_of(c.dtype));
  for (std::size_t at = 0; at < c.input.size(); at += size_of(c.dtype)) {
    store_random(c.input.data() + at, c.dtype, c.op, random);
  }
  return c;
}

std::optional<std::string> compare_with_reference(const ReduceCase& c, const std::vector<std::byte>& output) {
  const std::vector<Accumulated> outputs = accumulate(c);
  const DType dtype = c.output_dtype();
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const std::byte* const at = output.data() + i * size_of(dtype);
    if (is_floating(dtype)) {
      const double got = load_floating(at, dtype);
      double wanted = 0;
      if (!floating_matches(c, outputs[i], got, &wanted)) {
        return fmt::format("{}: element {} is {}, the reference {}", c.describe(), i, got, wanted);
      }
    } else {
      const std::int64_t got = load_integer(at, dtype);
      const std::int64_t wanted = wanted_integer(c, outputs[i]);
      if (got != wanted) {
        return fmt::format("{}: element {} is {}, the reference {}", c.describe(), i, got, wanted);
      }
    }
  }
  return std::nullopt;
}

}  // namespace millrace::tool
