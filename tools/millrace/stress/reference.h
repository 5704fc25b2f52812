// Reductions the slow way, on the host: what the device's results are held against.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include <millrace/dtype.h>
#include <millrace/reduce.h>
#include <millrace/tensor.h>

#include "random.h"

namespace millrace::tool {

/// A reduction to be checked. input holds the elements as they lie in memory; shape and strides say
/// which of them are reduced.
struct ReduceCase {
  ReduceOp op = ReduceOp::sum;
  DType dtype = DType::f32;
  Dims shape;
  Dims strides;
  std::vector<std::int64_t> dims;  ///< empty: all
  bool keep = false;
  std::vector<std::byte> input;

  DType output_dtype() const { return result_dtype(op, dtype); }
  Dims output_shape() const { return result_shape(shape, dims, keep); }
  std::string describe() const;
};

/// sum, mean, prod, min or max, any type, shape up to four dimensions (row-major or transposed) and set of
/// dimensions; values small enough that no floating result overflows, now and then a NaN.
ReduceCase random_reduce_case(Random& random);

/// Compares the device's output with the reference; says the first element that differs. Integers,
/// min and max must be equal, sums and products as close as the type and the number of elements allow.
std::optional<std::string> compare_with_reference(const ReduceCase& c, const std::vector<std::byte>& output);

}  // namespace millrace::tool
