// The large reductions that `bench reduce` times, and the values that they reduce.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <millrace/dtype.h>
#include <millrace/reduction.h>
#include <millrace/tensor.h>

namespace millrace::tool {

struct ReduceCase {
  std::string name;           ///< "sum (8192,8192) over 0"
  std::string peer_op;        ///< what the scripts of bench/peers call it
  std::vector<ReduceOp> ops;  ///< one; max and argmax: an extreme with its position; none: statistics
  Dims shape;
  Dims dims;     ///< empty: all
  Dims strides;  ///< of the input; empty: it is contiguous

  std::int64_t elements() const { return element_count(shape); }
};

/// With fewer, shapes that are meant to differ would be the same.
inline constexpr std::uint64_t kFewestReduceElements = 1 << 18;

/// The cases for an input of this many elements; a shape may leave the last few of them out.
std::vector<ReduceCase> reduce_cases(std::uint64_t elements);

/// Fills an input of f32, f16 or bf16 with values in [1, 2), the same ones as the peers'. Their product is
/// soon infinite, which is fast; that of smaller ones would linger at subnormal numbers, which are slow.
void fill_reduce_input(DType dtype, std::span<std::byte> input);

}  // namespace millrace::tool
