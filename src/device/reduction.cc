#include <millrace/reduction.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include <millrace/error.h>

#include "device/dims.h"

namespace millrace {

const char* to_string(ReduceOp op) noexcept {
  switch (op) {
    case ReduceOp::sum: return "sum";
    case ReduceOp::mean: return "mean";
    case ReduceOp::prod: return "prod";
    case ReduceOp::min: return "min";
    case ReduceOp::max: return "max";
    case ReduceOp::argmin: return "argmin";
    case ReduceOp::argmax: return "argmax";
    case ReduceOp::any: return "any";
    case ReduceOp::all: return "all";
    case ReduceOp::var: return "var";
    case ReduceOp::std: return "std";
    case ReduceOp::norm: return "norm";
    case ReduceOp::count_zero: return "count_zero";
    case ReduceOp::count_nan: return "count_nan";
    case ReduceOp::count_inf: return "count_inf";
  }
  return "unknown";
}

DType result_dtype(ReduceOp op, DType input) noexcept {
  switch (op) {
    case ReduceOp::min:
    case ReduceOp::max: return input;
    case ReduceOp::sum:
    case ReduceOp::prod: return is_floating(input) ? input : DType::i64;
    case ReduceOp::mean:
    case ReduceOp::var:
    case ReduceOp::std:
    case ReduceOp::norm: return is_floating(input) ? input : DType::f64;
    case ReduceOp::any:
    case ReduceOp::all: return DType::boolean;
    case ReduceOp::argmin:
    case ReduceOp::argmax:
    case ReduceOp::count_zero:
    case ReduceOp::count_nan:
    case ReduceOp::count_inf: return DType::i64;
  }
  return DType::i64;
}

std::bitset<kMaxDims> select_dims(const Dims& shape, std::span<const std::int64_t> dims) {
  std::bitset<kMaxDims> selected;
  if (dims.empty()) {
    for (int i = 0; i < shape.size(); ++i) selected.set(static_cast<std::size_t>(i));
    return selected;
  }
  const std::int64_t rank = shape.size();
  for (const std::int64_t dim : dims) {
    if (dim < -rank || dim >= rank) {
      const std::string allowed =
          rank == 0 ? "it has none, so name none"
                    : "name them from " + std::to_string(-rank) + " to " + std::to_string(rank - 1);
      throw Error(ErrorCode::InvalidArgument, "dimension " + std::to_string(dim) + " of shape " +
                                                  to_text(shape) + " does not exist; " + allowed);
    }
    const auto index = static_cast<std::size_t>(dim < 0 ? dim + rank : dim);
    if (selected.test(index)) {
      throw Error(ErrorCode::InvalidArgument, "dims " + to_text(dims) + " of shape " + to_text(shape) +
                                                  " name dimension " + std::to_string(index) +
                                                  " twice; name each once");
    }
    selected.set(index);
  }
  return selected;
}

Dims result_shape(const Dims& shape, std::span<const std::int64_t> dims, bool keep) {
  const std::bitset<kMaxDims> reduced = select_dims(shape, dims);
  Dims result;
  for (int i = 0; i < shape.size(); ++i) {
    if (!reduced.test(static_cast<std::size_t>(i))) {
      result.push_back(shape[i]);
    } else if (keep) {
      result.push_back(1);
    }
  }
  return result;
}

Statistics combine(const Statistics& a, const Statistics& b) noexcept {
  const std::int64_t a_finite = a.finite();
  const std::int64_t b_finite = b.finite();
  Statistics both;
  both.count = a.count + b.count;
  both.nan = a.nan + b.nan;
  both.inf = a.inf + b.inf;
  both.zeros = a.zeros + b.zeros;
  if (a_finite == 0 || b_finite == 0) {
    const Statistics& only = a_finite == 0 ? b : a;
    both.sum = only.sum;
    both.mean = only.mean;
    both.m2 = only.m2;
  } else {
    // Chan, Golub and LeVeque: the parts' own squares plus what the distance of their means adds.
    const double part = static_cast<double>(b_finite) / static_cast<double>(a_finite + b_finite);
    const double distance = b.mean - a.mean;
    both.sum = a.sum + b.sum;
    both.mean = a.mean + distance * part;
    both.m2 = a.m2 + b.m2 + distance * distance * part * static_cast<double>(a_finite);
  }
  if (a_finite + b_finite == 0) {
    both.min = std::numeric_limits<double>::infinity();
    both.max = -std::numeric_limits<double>::infinity();
    return both;
  }
  const double inf = std::numeric_limits<double>::infinity();
  // A part without a finite value has no extremes, whatever its fields say.
  both.min = std::min(a_finite == 0 ? inf : a.min, b_finite == 0 ? inf : b.min);
  both.max = std::max(a_finite == 0 ? -inf : a.max, b_finite == 0 ? -inf : b.max);
  both.absmax = std::max(a_finite == 0 ? 0.0 : a.absmax, b_finite == 0 ? 0.0 : b.absmax);
  return both;
}

double standard_deviation(const Statistics& s) noexcept {
  if (s.finite() == 0) return std::numeric_limits<double>::quiet_NaN();
  return std::sqrt(s.m2 / static_cast<double>(s.finite()));
}

}  // namespace millrace
