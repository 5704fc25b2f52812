// Random reductions, and whether a result is right.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <millrace/reduction.h>
#include <millrace/tensor.h>

#include "device/operation.h"
#include "support/random.h"

namespace millrace::test {

/// One operation on a view into a buffer, and a view into another for its result. Offsets and counts are in
/// elements or results.
struct ReduceCase {
  bool statistics = false;
  ReduceOp op = ReduceOp::sum;
  DType dtype = DType::f32;
  double correction = 0;
  bool with_values = false;  ///< argmin and argmax: the elements found too
  Dims shape, strides;
  std::vector<std::int64_t> dims;
  Dims output_shape, output_strides;
  std::size_t input_offset = 0;
  std::size_t output_offset = 0;
  std::size_t output_count = 0;
  std::vector<std::byte> input;

  DType output_dtype() const { return result_dtype(op, dtype); }
  std::size_t result_bytes() const { return statistics ? sizeof(Statistics) : size_of(output_dtype()); }
  std::string text() const;
  /// On memory of either kind that holds input, output_count results, and as many elements.
  Operation operation(void* from, void* to, void* values) const;
};

ReduceCase random_case(Random& random);
/// Of that shape in memory of any order; dims as for reductions.
ReduceCase case_of(Random& random, const Dims& shape, const std::vector<std::int64_t>& dims, bool statistics,
                   ReduceOp op, DType dtype);

/// Nothing, or what is wrong. expected is the host's output, found another device's, both of all the memory
/// that results are in. Whole numbers, extremes and positions are the same; sums are as close to exact ones
/// as NumPy's would be, on either.
std::optional<std::string> judge(const ReduceCase& one, const std::vector<std::byte>& expected,
                                 const std::vector<std::byte>& found);

}  // namespace millrace::test
