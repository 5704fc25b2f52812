#include "reduce_case.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <utility>

#include "backends/host/reduce/dispatch.h"
#include "backends/host/reduce/element.h"
#include "device/dims.h"
#include "reduce/plan.h"

namespace millrace::test {
namespace {

double uniform(Random& random) {
  return static_cast<double>(random.next() >> 11) * 0x1p-53;
}

/// About normal: what matters is that there are both signs and a tail.
double normal(Random& random) {
  double sum = 0;
  for (int i = 0; i < 12; ++i) sum += uniform(random);
  return sum - 6;
}

template <typename T>
T pick(Random& random, std::initializer_list<T> values) {
  return values.begin()[random.below(values.size())];
}

struct Reach {
  std::int64_t low = 0, high = 0;
};

Reach reach(const Dims& shape, const Dims& strides) {
  Reach result;
  for (const std::int64_t size : shape) {
    if (size == 0) return result;
  }
  for (int i = 0; i < shape.size(); ++i) {
    const std::int64_t end = (shape[i] - 1) * strides[i];
    (end < 0 ? result.low : result.high) += end;
  }
  return result;
}

Dims random_shape(Random& random) {
  const int rank = pick(random, {0, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 5, 6, 7, 8});
  double target = std::pow(10.0, 4.2 * uniform(random));
  std::vector<std::int64_t> sizes;
  for (int i = 0; i < rank; ++i) {
    const double left = std::pow(target, 1.0 / (rank - i));
    sizes.push_back(
        std::max<std::int64_t>(1, static_cast<std::int64_t>(left * std::exp2(3 * uniform(random) - 1.5))));
    target = std::max(1.0, target / static_cast<double>(sizes.back()));
  }
  for (std::size_t i = sizes.size(); i > 1; --i) std::swap(sizes[i - 1], sizes[random.below(i)]);
  if (rank != 0 && random.one_in(20)) sizes[random.below(sizes.size())] = 0;
  if (rank != 0 && random.one_in(7)) sizes[random.below(sizes.size())] = 1;
  return Dims(sizes);
}

/// Dense in the order of the dimensions or in any, perhaps with gaps.
Dims dense_strides(Random& random, const Dims& shape, bool permute, bool gaps) {
  std::vector<int> order(static_cast<std::size_t>(shape.size()));
  std::iota(order.begin(), order.end(), 0);
  if (permute) {
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
  }
  Dims strides = shape;
  std::int64_t stride = 1;
  for (auto dim = order.rbegin(); dim != order.rend(); ++dim) {
    if (gaps) stride *= pick<std::int64_t>(random, {1, 1, 2, 3});
    strides[*dim] = stride;
    stride *= std::max<std::int64_t>(shape[*dim], 1);
  }
  return strides;
}

Dims random_strides(Random& random, const Dims& shape) {
  const double kind = uniform(random);
  if (kind < 0.35) return contiguous_strides(shape);
  Dims strides = dense_strides(random, shape, kind < 0.8, random.one_in(3));
  for (int i = 0; i < shape.size(); ++i) {
    if (random.one_in(5)) strides[i] = -strides[i];
    if (random.one_in(12)) strides[i] = 0;
    if (kind > 0.93) strides[i] = static_cast<std::int64_t>(random.below(15)) - 7;  // overlapping in any way
  }
  return strides;
}

void put(DType dtype, double value, std::byte* to) {
  host::for_type(dtype, [&]<DType kType>() {
    using E = host::Element<kType>;
    const auto stored = E::store(static_cast<typename E::Value>(value));
    std::memcpy(to, &stored, sizeof stored);
  });
}

/// count of them, of which an output is made of up to n.
std::vector<std::byte> random_elements(Random& random, ReduceOp op, DType dtype, std::size_t count,
                                       std::int64_t n) {
  const std::size_t size = size_of(dtype);
  std::vector<std::byte> elements(count * size);
  if (!is_floating(dtype)) {
    const bool full = !random.one_in(3);
    const std::size_t rare = pick<std::size_t>(random, {2, 50});
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint64_t bits = random.next();
      if (dtype == DType::boolean) {
        elements[i] = std::byte{(bits % rare == 0) == full};
      } else if (full) {
        std::memcpy(elements.data() + i * size, &bits, size);
      } else {
        const auto low = dtype == DType::u8 ? 0 : -5;
        put(dtype, low + static_cast<double>(bits % 11), elements.data() + i * size);
      }
    }
    return elements;
  }
  constexpr double kInf = std::numeric_limits<double>::infinity();
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  const double scale = pick(random, {1e-6, 1.0, 1.0, 30.0});
  const double middle = pick(random, {0.0, 0.0, 10.0});
  const std::size_t zeros = random.one_in(3) ? 10 : 0;
  const std::size_t special = random.one_in(5) ? pick<std::size_t>(random, {10, 2000}) : 0;
  const int kind = static_cast<int>(random.below(5));
  for (std::size_t i = 0; i < count; ++i) {
    double value = normal(random) * scale + middle;
    if (op == ReduceOp::prod) {  // any product of n stays within f32
      const double limit = std::min(1.0, 80 / static_cast<double>(std::max<std::int64_t>(n, 1)));
      value = (random.one_in(2) ? 1 : -1) * std::exp2((2 * uniform(random) - 1) * limit);
    }
    if (zeros != 0 && random.one_in(zeros)) value = random.one_in(2) ? 0.0 : -0.0;
    if (special != 0 && random.one_in(special)) {
      const bool second = random.one_in(2);
      const std::array<double, 5> values{kNan, kInf, -kInf, second ? kNan : kInf, second ? kInf : -kInf};
      value = values[static_cast<std::size_t>(kind)];
    }
    put(dtype, value, elements.data() + i * size);
  }
  return elements;
}

std::int64_t reduced_size(const Dims& shape, const std::vector<std::int64_t>& dims) {
  const std::bitset<kMaxDims> selected = select_dims(shape, dims);
  std::int64_t n = 1;
  for (int i = 0; i < shape.size(); ++i) n *= selected.test(static_cast<std::size_t>(i)) ? shape[i] : 1;
  return n;
}

/// Fills in what follows from shape, strides, dims and the operation.
void complete(Random& random, ReduceCase& one, bool keep) {
  const Reach from = reach(one.shape, one.strides);
  const std::size_t pad = random.below(20);
  one.input_offset = pad + static_cast<std::size_t>(-from.low);
  const auto count = one.input_offset + static_cast<std::size_t>(from.high) + 1 + random.below(4);
  one.input = random_elements(random, one.statistics ? ReduceOp::sum : one.op, one.dtype, count,
                              reduced_size(one.shape, one.dims));
  one.output_shape = result_shape(one.shape, one.dims, keep && !one.statistics);
  one.output_strides = contiguous_strides(one.output_shape);
  if (!one.statistics && random.one_in(3)) {
    one.output_strides = dense_strides(random, one.output_shape, true, random.one_in(2));
    for (int i = 0; i < one.output_shape.size(); ++i) {
      if (random.one_in(5)) one.output_strides[i] = -one.output_strides[i];
    }
  }
  const Reach to = reach(one.output_shape, one.output_strides);
  one.output_offset = random.below(3) + static_cast<std::size_t>(-to.low);
  one.output_count = one.output_offset + static_cast<std::size_t>(to.high) + 1 + random.below(3);
  if (one.op == ReduceOp::var || one.op == ReduceOp::std) {
    one.correction = pick(random, {0.0, 1.0, 1.0, 0.5, 7.0});
  }
  one.with_values =
      !one.statistics && (one.op == ReduceOp::argmin || one.op == ReduceOp::argmax) && random.one_in(2);
}

}  // namespace

std::string ReduceCase::text() const {
  return std::string(statistics ? "statistics" : to_string(op)) + " of " + std::string(to_string(dtype)) +
         " " + to_text(shape) + " strides " + to_text(strides) + " dims " + to_text(dims) + " into strides " +
         to_text(output_strides) + ", correction " + std::to_string(correction);
}

Operation ReduceCase::operation(void* from, void* to, void* values) const {
  const TensorView in{static_cast<std::byte*>(from) + input_offset * size_of(dtype), dtype, shape, strides};
  std::byte* const out = static_cast<std::byte*>(to) + output_offset * result_bytes();
  if (statistics) return statistics_operation(in, reinterpret_cast<Statistics*>(out), dims);
  const TensorView result{out, output_dtype(), output_shape, output_strides};
  if (!with_values) return reduction_operation(op, in, result, dims, {.correction = correction});
  std::byte* const found = static_cast<std::byte*>(values) + output_offset * size_of(dtype);
  return positions_operation(op, in, {found, dtype, output_shape, output_strides}, result, dims);
}

ReduceCase random_case(Random& random) {
  for (;;) {
    ReduceCase one;
    const std::size_t op = random.below(kReduceOpCount + 1);
    one.statistics = op == kReduceOpCount;
    if (!one.statistics) one.op = static_cast<ReduceOp>(op);
    one.dtype = static_cast<DType>(random.below(kDTypeCount));
    one.shape = random_shape(random);
    one.strides = random_strides(random, one.shape);
    for (int i = 0; i < one.shape.size(); ++i) {
      if (random.one_in(2)) one.dims.push_back(i);
    }
    const bool of_elements = one.op == ReduceOp::min || one.op == ReduceOp::max ||
                             one.op == ReduceOp::argmin || one.op == ReduceOp::argmax;
    if (of_elements && element_count(one.shape) == 0) continue;  // refused: there is none of nothing
    complete(random, one, random.one_in(2));
    return one;
  }
}

ReduceCase case_of(Random& random, const Dims& shape, const std::vector<std::int64_t>& dims, bool statistics,
                   ReduceOp op, DType dtype) {
  ReduceCase one;
  one.statistics = statistics;
  one.op = op;
  one.dtype = dtype;
  one.shape = shape;
  one.strides = dense_strides(random, shape, random.one_in(2), random.one_in(3));
  one.dims = dims;
  complete(random, one, false);
  return one;
}

}  // namespace millrace::test
