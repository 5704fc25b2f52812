// What is right, computed in long double by the plainest loops.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <variant>

#include "backends/host/reduce/dispatch.h"
#include "backends/host/reduce/element.h"
#include "backends/host/reduce/nest.h"
#include "reduce_case.h"

namespace millrace::test {
namespace {

using Exact = long double;

double value_at(DType dtype, const std::byte* at) {
  return host::for_type(dtype, [at]<DType kType>() {
    typename host::Element<kType>::Stored stored;
    std::memcpy(&stored, at, sizeof stored);
    return static_cast<double>(host::Element<kType>::load(stored));
  });
}

Exact exact_at(DType dtype, const std::byte* at) {
  if (dtype != DType::i64) return value_at(dtype, at);
  std::int64_t value = 0;
  std::memcpy(&value, at, sizeof value);
  return static_cast<Exact>(value);
}

double rounded_to(DType dtype, Exact value) {
  switch (dtype) {
    case DType::f32: return static_cast<float>(value);
    case DType::f16: return host::float_from_half(host::half_from_float(static_cast<float>(value)));
    case DType::bf16: return host::float_from_bfloat(host::bfloat_from_float(static_cast<float>(value)));
    default: return static_cast<double>(value);
  }
}

bool same(double a, double b) {
  return a == b || (std::isnan(a) && std::isnan(b));
}

/// What can be known of the elements of one output.
struct Exacts {
  Exact n = 0, sum = 0, magnitude = 0, product = 1, squares = 0, mean = 0, m2 = 0, largest = 0;
};

Exacts exacts_of(const std::vector<Exact>& values) {
  Exacts e;
  e.n = static_cast<Exact>(values.size());
  for (const Exact value : values) {
    e.sum += value;
    e.magnitude += std::abs(value);
    e.product *= value;
    e.squares += value * value;
    e.largest = std::max(e.largest, std::abs(value));
  }
  e.mean = e.sum / e.n;
  for (const Exact value : values) e.m2 += (value - e.mean) * (value - e.mean);
  return e;
}

struct Bounds {
  Exact exact, error;
};

/// How far m2 may be off: each distance from the mean by what rounding costs where values are far from zero.
Exact m2_error(const Exacts& e, Exact relative) {
  const Exact off = std::sqrt(e.n) * 1e-14L * e.largest;
  return relative * e.m2 + (std::sqrt(e.m2) + off) * (std::sqrt(e.m2) + off) - e.m2;
}

Bounds bounds_of(const ReduceCase& one, const Exacts& e) {
  const Exact epsilon = one.output_dtype() == DType::f64 ? 0x1p-53L : 0x1p-24L;
  // Chains of at most 128 additions, a tail, then a balanced tree: NumPy's.
  const Exact steps = 160 + std::log2(std::max<Exact>(e.n, 1));
  switch (one.op) {
    case ReduceOp::mean: return {e.mean, steps * epsilon * e.magnitude / e.n};
    case ReduceOp::prod: return {e.product, 2 * e.n * epsilon * std::abs(e.product)};
    case ReduceOp::norm: return {std::sqrt(e.squares), steps * epsilon * std::sqrt(e.squares)};
    case ReduceOp::var:
    case ReduceOp::std: {
      const Exact over = std::max<Exact>(e.n - one.correction, 0);
      const Exact error = m2_error(e, 4 * steps * epsilon);
      const Exact exact = e.n == 0 ? std::numeric_limits<Exact>::quiet_NaN() : e.m2 / over;
      if (one.op == ReduceOp::var) return {exact, error / over};
      const Exact low = std::sqrt(std::max<Exact>(e.m2 - error, 0) / over);
      return {std::sqrt(exact),
              std::max(std::sqrt((e.m2 + error) / over) - std::sqrt(exact), std::sqrt(exact) - low)};
    }
    default: return {e.sum, steps * epsilon * e.magnitude};
  }
}

bool is_inexact(const ReduceCase& one) {
  switch (one.op) {
    case ReduceOp::sum:
    case ReduceOp::prod: return is_floating(one.dtype);
    case ReduceOp::mean:
    case ReduceOp::var:
    case ReduceOp::std:
    case ReduceOp::norm: return true;
    default: return false;
  }
}

/// A variance over nothing, of values so close together that rounding decides whether it is infinite or NaN?
bool is_zero_by_zero(const ReduceCase& one, const Exacts& e) {
  if (one.op != ReduceOp::var && one.op != ReduceOp::std) return false;
  return e.n <= one.correction && e.m2 <= m2_error(e, 1e-12L);
}

std::optional<std::string> judge_inexact(const ReduceCase& one, const std::vector<Exact>& values,
                                         const std::byte* expected, const std::byte* found) {
  const DType dtype = one.output_dtype();
  const Exacts e = exacts_of(values);
  auto [exact, error] = bounds_of(one, e);
  if (!std::isfinite(exact)) error = 0;
  const double low = rounded_to(dtype, exact - error), high = rounded_to(dtype, exact + error);
  for (const std::byte* result : {expected, found}) {
    const double value = value_at(dtype, result);
    if ((value >= low && value <= high) || (std::isnan(low) && std::isnan(value))) continue;
    if (is_zero_by_zero(one, e) && std::isnan(value)) continue;
    return std::string(result == expected ? "the host gives " : "got ") + std::to_string(value) +
           ", allowed " + std::to_string(low) + " to " + std::to_string(high);
  }
  return std::nullopt;
}

std::optional<std::string> judge_statistics(const std::vector<Exact>& values, const std::byte* expected,
                                            const std::byte* found) {
  Statistics host, got;
  std::memcpy(&host, expected, sizeof host);
  std::memcpy(&got, found, sizeof got);
  const bool counts = got.count == host.count && got.nan == host.nan && got.inf == host.inf &&
                      got.zeros == host.zeros && got.min == host.min && got.max == host.max &&
                      got.absmax == host.absmax;
  if (!counts) return "counts or extremes differ";
  std::vector<Exact> finite;
  std::copy_if(values.begin(), values.end(), std::back_inserter(finite),
               [](Exact v) { return std::isfinite(v); });
  if (finite.empty()) {
    return got.sum == 0 && got.mean == 0 && got.m2 == 0 ? std::nullopt
                                                        : std::optional<std::string>("sums of nothing");
  }
  const Exacts e = exacts_of(finite);
  const Exact slack = 1e-13L * e.magnitude;
  const auto differs = [](const char* what, double value, Exact exact) {
    return std::string(what) + " is " + std::to_string(value) + ", exactly " + std::to_string(exact);
  };
  if (!(std::abs(got.sum - e.sum) <= slack)) return differs("sum", got.sum, e.sum);
  if (!(std::abs(got.mean - e.mean) <= slack / e.n)) return differs("mean", got.mean, e.mean);
  if (!(std::abs(got.m2 - e.m2) <= m2_error(e, 1e-12L))) return differs("m2", got.m2, e.m2);
  return std::nullopt;
}

std::optional<std::string> judge_result(const ReduceCase& one, const std::vector<Exact>& values,
                                        const std::byte* expected, const std::byte* found) {
  if (one.statistics) return judge_statistics(values, expected, found);
  if (is_inexact(one)) return judge_inexact(one, values, expected, found);
  const DType dtype = one.output_dtype();
  const bool equal = is_floating(dtype) ? same(value_at(dtype, expected), value_at(dtype, found))
                                        : std::memcmp(expected, found, size_of(dtype)) == 0;
  if (equal) return std::nullopt;
  return "got " + std::to_string(exact_at(dtype, found)) + ", the host gives " +
         std::to_string(exact_at(dtype, expected));
}

}  // namespace

std::optional<std::string> judge(const ReduceCase& one, const std::vector<std::byte>& expected,
                                 const std::vector<std::byte>& found) {
  std::vector<std::byte> input = one.input;
  std::vector<std::byte> marks(expected.size());
  std::vector<std::byte> values(one.output_count * size_of(one.dtype));
  const ReduceWork work = std::get<ReduceWork>(one.operation(input.data(), marks.data(), values.data()).work);
  const auto element = static_cast<std::int64_t>(size_of(one.dtype));
  const auto result = static_cast<std::int64_t>(one.result_bytes());
  const std::int64_t first = static_cast<std::byte*>(work.output) - marks.data();
  host::Walk kept(work.kept, work.kept_strides, work.output_strides);
  host::Walk reduced(work.reduced, work.reduced_strides);
  std::vector<Exact> elements;
  for (std::int64_t i = 0; i < work.kept_count; ++i, kept.next()) {
    elements.clear();
    for (std::int64_t k = 0; k < work.reduced_count; ++k, reduced.next()) {
      elements.push_back(exact_at(one.dtype, static_cast<const std::byte*>(work.input) +
                                                 (kept.offset() + reduced.offset()) * element));
    }
    const std::int64_t at = first + kept.other_offset() * result;
    if (auto problem = judge_result(one, elements, expected.data() + at, found.data() + at)) {
      return "result " + std::to_string(i) + ": " + *problem;
    }
    std::memset(marks.data() + at, 1, static_cast<std::size_t>(result));
  }
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (marks[i] == std::byte{0} && found[i] != expected[i]) return "memory around the results was written";
  }
  return std::nullopt;
}

}  // namespace millrace::test
